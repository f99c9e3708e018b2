package fuse

import (
	"bufio"
	"fmt"
	"testing"
	"time"
)

// TestAhead makes a directory while a large file is copied up. The file may be there sooner
// than the other request: then the next one counts.
func TestAhead(t *testing.T) {
	u := serveHere(t, "for f in 1 2 3 4; do head -c 64M /dev/zero >$f; echo end >>$f; done")
	other := u.command(`cd "$1/merged"; while read d; do mkdir "$d"; echo made; done`)
	asks, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(answers)
	copying := func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, a := range u.aheads {
			select {
			case <-a.done:
			default:
				return true
			}
		}
		return false
	}
	seen := false
	for f := 1; f <= 4 && !seen; f++ {
		change := u.command(fmt.Sprintf(`cd "$1"; chmod 600 merged/%d; cmp merged/%[1]d lower/%[1]d
			test "$(stat -c %%a merged/%[1]d lower/%[1]d | xargs)" = "600 644"`, f))
		ended := make(chan error, 1)
		go func() { ended <- change.Run() }()
		for since := time.Now(); !copying() && time.Since(since) < 5*time.Second; time.Sleep(time.Millisecond / 4) {
		}
		fmt.Fprintf(asks, "d%d\n", f)
		if !lines.Scan() {
			t.Fatal("the other shell has ended")
		}
		seen = seen || copying()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if !seen {
		t.Error("no other request is answered while a file is copied up")
	}
	asks.Close()
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.aheads) != 0 {
		t.Errorf("left: %v", u.aheads)
	}
}
