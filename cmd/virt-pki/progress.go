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
	var last, since time.Time
	stage := ""
	shown := false
	show = func(what string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		now := p.now()
		if what != stage {
			stage, since = what, now
		}
		// What is over in the blink of an eye needs no progress.
		if now.Sub(begun) < 300*time.Millisecond || done < total && now.Sub(last) < 100*time.Millisecond {
			return
		}
		last, shown = now, true
		fmt.Fprintf(p.stderr, "\r\x1b[K%s %d of %d%s", stage, done, total, timeLeft(now.Sub(since), done, total))
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

// timeLeft says how long the rest of a stage will take, once that can be told.
func timeLeft(spent time.Duration, done, total int) string {
	if spent < time.Second || done <= 0 || done >= total {
		return ""
	}
	left := time.Duration(float64(spent) / float64(done) * float64(total-done))
	switch {
	case left < 2*time.Second:
		return ""
	case left < 2*time.Minute:
		return fmt.Sprintf(", %d seconds left", int(left.Seconds()+0.5))
	}
	return fmt.Sprintf(", %d minutes left", int(left.Minutes()+0.5))
}
