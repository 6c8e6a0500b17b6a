package main

import (
	"fmt"
	"sync"
	"time"
)

// progress gives a function that shows one line on the terminal, and one that removes it. Where standard error is no
// terminal nothing is shown.
func (p *program) progress(quiet bool) (show func(stage string, done, total int), clear func()) {
	if quiet || !isTerminal(p.stderr) {
		return nil, func() {}
	}
	var mu sync.Mutex
	begun := p.now()
	var last time.Time
	shown := false
	show = func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		now := p.now()
		// What is over in the blink of an eye needs no progress.
		if now.Sub(begun) < 300*time.Millisecond || done < total && now.Sub(last) < 100*time.Millisecond {
			return
		}
		last, shown = now, true
		fmt.Fprintf(p.stderr, "\r\x1b[K%s %d of %d", stage, done, total)
	}
	clear = func() {
		mu.Lock()
		defer mu.Unlock()
		if shown {
			fmt.Fprint(p.stderr, "\r\x1b[K")
		}
	}
	return show, clear
}
