package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestPlan: all assignments of few options; of many none, each, all but each, all.
func TestPlan(t *testing.T) {
	for n, want := range map[int]int{1: 2, 2: 4, 3: 8, 4: 10, 6: 14} {
		seen := make(map[string]bool)
		ones := make(map[int]int)
		for _, on := range plan(n) {
			count := 0
			for _, x := range on {
				if x {
					count++
				}
			}
			ones[count]++
			seen[fmt.Sprint(on)] = true
		}
		if len(seen) != want || ones[0] != 1 || ones[n] != 1 || n > 2 && (ones[1] != n || ones[n-1] != n) {
			t.Errorf("%d options: %d different runs, want %d; by options on: %v", n, len(seen), want, ones)
		}
	}
}

// TestReadMatrix: options are names that files and conditions can have; nothing is run
// for others.
func TestReadMatrix(t *testing.T) {
	name := filepath.Join(t.TempDir(), "matrix")
	for text, want := range map[string]string{"# none\n\n nls, doc : make\n": "nls,doc", ": make": "", "a/b: make": "error", "../x: make": "error", "a\x00: make": "error", "make": "error"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := "error"
		if runs, err := readMatrix(name); err == nil {
			got = runs[0].options
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
