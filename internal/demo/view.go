package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// redrawEvery is the pace of the live view.
const redrawEvery = 250 * time.Millisecond

// ANSI control sequences.
const (
	ansiUp        = "\x1b[%dA\r" // so many lines up, to the first column
	ansiClearDown = "\x1b[J"
)

// view prints events line by line and, on a terminal, a few lines of status below them
// that are drawn again and again.
type view struct {
	out   io.Writer
	begun time.Time
	// width of the terminal in columns; nil when out is none.
	width func() int

	mu     sync.Mutex
	status func() []string
	drawn  int // lines of status on the screen
}

// say prints one event with the time since the beginning.
func (v *view) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	v.print(fmt.Sprintf("%6.1fs  %s\n", time.Since(v.begun).Seconds(), strings.ReplaceAll(text, "\n", "\n         ")))
	v.draw()
}

// plain prints text as it is.
func (v *view) plain(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	v.print(text)
}

// follow draws status until ctx ends, and takes it away then.
func (v *view) follow(ctx context.Context, status func() []string) {
	if v.width == nil {
		return
	}
	v.mu.Lock()
	v.status = status
	v.mu.Unlock()
	again := time.NewTicker(redrawEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			v.mu.Lock()
			v.erase()
			v.draw()
			v.mu.Unlock()
		case <-ctx.Done():
			v.mu.Lock()
			v.erase()
			v.status = nil
			v.mu.Unlock()
			return
		}
	}
}

func (v *view) erase() {
	if v.drawn > 0 {
		v.print(fmt.Sprintf(ansiUp, v.drawn) + ansiClearDown)
		v.drawn = 0
	}
}

func (v *view) draw() {
	if v.status == nil {
		return
	}
	width := v.width()
	var b strings.Builder
	for _, line := range v.status() {
		b.WriteString(cut(line, width-1) + "\n")
		v.drawn++
	}
	v.print(b.String())
}

// print drops the writer's errors: a closed pipe must not stop what is being
// demonstrated, and the table at the end reports its own.
func (v *view) print(text string) { _, _ = io.WriteString(v.out, text) }

// cut shortens a line to the terminal's width: one that wraps could not be erased.
func cut(line string, width int) string {
	if width < 1 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width])
}
