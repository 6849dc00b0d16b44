package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

var (
	//go:embed assets/study.html
	studyHTML string
	//go:embed assets/study.css
	studyCSS string
)

// Study is the page of one question and its answer: sentences, drawings and tables. Unlike a [Page] it has no script but the
// switch between light and dark: its drawings are SVG, made here.
type Study struct {
	Title    string // heading, such as "Output of networks of width 1000"
	Command  string // command line that repeats the work
	Version  string // of the program
	Created  time.Time
	Summary  []string // the answer in sentences
	Remarks  []Remark // assumptions that do not hold, and the like
	Figures  []Figure
	Tables   []Table
	Settings []Fact
}

// Remark is something that a reader has to know, and what holds all the same.
type Remark struct {
	Grade   string // "note", "warning" or "refused"
	Subject string
	Text    string
	Holds   string
}

// Table is a table of texts.
type Table struct {
	Name string
	// Head has a text for each column; one that begins with '>' is of a column set flush right.
	Head []string
	Rows [][]string
	Note string // below the table: what the numbers rest on
}

// Write renders the page.
func (s *Study) Write(w io.Writer) error {
	t, err := template.New("study").Funcs(template.FuncMap{
		"head": func(h string) string {
			if right(h) {
				return h[1:]
			}
			return h
		},
		"right":   right,
		"drawing": func(f Figure) template.HTML { return template.HTML(f.drawing()) },
	}).Parse(studyHTML)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return t.Execute(w, struct {
		*Study
		CSS template.CSS
	}{s, template.CSS(pageCSS + "\n" + studyCSS + "\n" + drawingCSS)})
}

func right(head string) bool { return len(head) > 0 && head[0] == '>' }
