package study

import (
	"fmt"
	"os"
	"strings"
)

// Replace puts text between the lines <!-- mark --> and <!-- /mark --> of a page, each of which must be there once.
func Replace(page, mark, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("study: %s has no place for the table\nhint: write the lines %sand %s where it belongs", page, begin, end)
	}
	return os.WriteFile(page, []byte(head+begin+text+end+tail), 0o644)
}

// Table is a table in Markdown.
type Table struct {
	head []string
	rows [][]string
}

// NewTable returns a table with the given columns.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row appends a row. It panics if it has more cells than there are columns; missing ones are empty.
func (t *Table) Row(cells ...string) {
	if len(cells) > len(t.head) {
		panic(fmt.Sprintf("study: %d cells in a table of %d columns", len(cells), len(t.head)))
	}
	t.rows = append(t.rows, append(cells, make([]string, len(t.head)-len(cells))...))
}

// String returns the lines of the table.
func (t *Table) String() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, r := range t.rows {
		line(r)
	}
	return b.String()
}
