package dialect

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A packing list is written from a list of a million entries in little more than
// the list itself takes: what is alive while the text is written is counted.
func TestWriteMemory(t *testing.T) {
	const entries, perEntry = 20_000, 80
	l := &plist.List{Prefix: "/usr/local", Entries: make([]plist.Entry, entries)}
	for i := range l.Entries {
		l.Entries[i] = plist.Entry{
			Op: plist.OpAdd, Path: fmt.Sprintf("usr/local/share/x/%05d", i),
			Mode: 0o644, ModTime: time.Unix(1, 0),
		}
	}
	for _, format := range Formats() {
		before := alive()
		w := &heapMeter{}
		if err := Write(w, format, l); err != nil {
			t.Fatal(err)
		}
		if w.most == 0 {
			t.Errorf("%s: nothing was written", format)
		}
		if grown := int64(w.most-before) / entries; grown > perEntry {
			t.Errorf("%s: %d bytes an entry while it is written, want %d at most", format, grown, perEntry)
		}
	}
	runtime.KeepAlive(l)
}

// alive is how much of the heap is in use by somebody.
func alive() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A heapMeter looks at the heap whenever it is written to.
type heapMeter struct{ most uint64 }

func (w *heapMeter) Write(p []byte) (int, error) {
	w.most = max(w.most, alive())
	return io.Discard.Write(p)
}
