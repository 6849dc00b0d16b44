package main

import (
	"strings"
	"time"
	"unicode/utf8"
)

// progress is the line that says what is going on. On a terminal it redraws one line, at most ten times a second; into a
// pipe it writes a plain line now and then. An own few lines rather than a library of bars: there is one line, and it must
// leave no trace in a pipe.
type progress struct {
	app   *app
	every time.Duration // between plain lines
	last  time.Time
	drawn bool
	off   bool
}

func (a *app) progress() *progress {
	p := &progress{app: a, every: 5 * time.Second, last: time.Now()}
	if a.live {
		p.every = 100 * time.Millisecond
		p.last = time.Time{}
	}
	return p
}

// due reports whether it is time for update.
func (p *progress) due() bool { return !p.off && time.Since(p.last) >= p.every }

// update shows text if it is due. fraction, in [0, 1], is drawn as a bar on a terminal; negative: no bar.
func (p *progress) update(fraction float64, text string) {
	if !p.due() {
		return
	}
	p.last = time.Now()
	if !p.app.live {
		p.app.say("%s\n", text)
		return
	}
	if fraction >= 0 {
		text = bar(fraction, 16) + " " + text
	}
	if w := p.app.width - 1; utf8.RuneCountInString(text) > w {
		text = string([]rune(text)[:w])
	}
	p.app.say("\r\x1b[K%s", text)
	p.drawn = true
}

// clear removes the live line, so that another line can be written.
func (p *progress) clear() {
	if p.drawn {
		p.app.say("\r\x1b[K")
		p.drawn = false
	}
}

// line writes a line that stays.
func (p *progress) line(text string) {
	if p.off {
		return
	}
	p.clear()
	p.app.say("%s\n", text)
	if !p.app.live {
		p.last = time.Now()
	}
}

// bar draws a fraction with eighths of a block.
func bar(fraction float64, width int) string {
	fraction = max(0, min(1, fraction))
	eighths := int(fraction*float64(8*width) + 0.5)
	s := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[eighths%8-1])
	}
	return "▕" + s + strings.Repeat(" ", width-utf8.RuneCountInString(s)) + "▏"
}
