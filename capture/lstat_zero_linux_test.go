package capture

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestYearOne: a file may have the time that stands for none.
func TestYearOne(t *testing.T) {
	const yearOne = -62135596800
	if e := entryFromStatx(&unix.Statx_t{Mtime: unix.StatxTimestamp{Sec: yearOne}}); e.ModTime.IsZero() || e.ModTime.Unix() != yearOne {
		t.Errorf("time %v", e.ModTime)
	}
}
