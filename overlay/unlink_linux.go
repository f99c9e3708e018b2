package overlay

import (
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// unlinkFiles removes what it can of the files below a directory, several at once.
// What it leaves, the directories and what no path leads to, is for os.RemoveAll,
// which also tells what is wrong.
func unlinkFiles(dir string) {
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	var below func(dir string)
	below = func(dir string) {
		d, err := os.Open(dir)
		if err != nil {
			return
		}
		defer d.Close()
		for {
			entries, _ := d.ReadDir(1000) // with an error there are none
			if len(entries) == 0 {
				return
			}
			for _, e := range entries {
				name := filepath.Join(dir, e.Name())
				switch {
				case !e.IsDir():
					_ = os.Remove(name)
				case !group.TryGo(func() error { below(name); return nil }):
					below(name)
				}
			}
		}
	}
	below(dir)
	_ = group.Wait() // there are no errors
}
