package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// progress returns a function to call with the number of entries done, and one
// to call at the end. On a terminal they keep one line up to date, elsewhere
// they do nothing.
func progress(w *os.File, what string) (step func(done int), end func()) {
	if !term.IsTerminal(int(w.Fd())) {
		return nil, func() {}
	}
	var last time.Time
	step = func(done int) {
		if now := time.Now(); now.Sub(last) >= 100*time.Millisecond {
			last = now
			fmt.Fprintf(w, "\r\x1b[Ksandbox-install: %s: %d", what, done)
		}
	}
	return step, func() { fmt.Fprint(w, "\r\x1b[K") }
}
