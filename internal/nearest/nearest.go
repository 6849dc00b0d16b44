// Package nearest finds the known names that a mistyped one may have meant, for error messages.
package nearest

import (
	"sort"
	"strings"
)

// Names returns no more than most of the known names, nearest to name first: those whose Levenshtein
// distance to name, ignoring case, is at most one more than a third of the longer one's length, at
// most 3, and at most one more than the nearest's; and those that begin with name, or begin it, in
// three letters or more. Names at equal distance keep the order of known. The result is empty if
// nothing is near.
func Names(name string, known []string, most int) []string {
	type candidate struct {
		name     string
		distance int
		prefix   bool
	}
	var near []candidate
	low := strings.ToLower(name)
	for _, k := range known {
		l := strings.ToLower(k)
		d := distance(low, l)
		prefix := len(low) >= 3 && strings.HasPrefix(l, low) || len(l) >= 3 && strings.HasPrefix(low, l)
		limit := min(3, 1+max(len(low), len(l))/3)
		if d <= limit || prefix {
			near = append(near, candidate{k, d, prefix})
		}
	}
	sort.SliceStable(near, func(i, j int) bool { return near[i].distance < near[j].distance })
	var names []string
	for _, c := range near {
		if len(names) == most {
			break
		}
		if c.prefix || c.distance <= near[0].distance+1 {
			names = append(names, c.name)
		}
	}
	return names
}

// Hint returns the sentence that follows "hint:" in an error about an unknown name: the nearest names,
// or, if none is near, otherwise.
func Hint(name string, known []string, otherwise string) string {
	near := Names(name, known, 3)
	switch len(near) {
	case 0:
		return otherwise
	case 1:
		return "did you mean " + near[0] + "?"
	}
	last := len(near) - 1
	return "did you mean " + strings.Join(near[:last], ", ") + " or " + near[last] + "?"
}

// distance returns the Levenshtein distance of a and b in bytes: the fewest insertions, deletions and
// substitutions that turn a into b (Wagner and Fischer, 1974). One row of the table is kept.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
