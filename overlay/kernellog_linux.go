package overlay

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// explained repeats a mount that failed and adds to its error what overlayfs tells
// of it in the kernel's log alone, where that may be read.
func explained(mount func() (*os.File, error)) (*os.File, error) {
	// Not an *os.File, whose reads would wait for the next record.
	log, logErr := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if logErr == nil {
		defer unix.Close(log)
		_, logErr = unix.Seek(log, 0, unix.SEEK_END)
	}
	m, err := mount()
	if err == nil || logErr != nil {
		return m, err
	}
	if said := overlayMessages(log); said != "" {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return nil, err
}

// overlayMessages reads what came to the log: a record a read, the text after a
// semicolon, until EAGAIN (Documentation/ABI/testing/dev-kmsg).
func overlayMessages(log int) string {
	var said []string
	b := make([]byte, 8192) // the longest record
	for {
		n, err := unix.Read(log, b)
		if err != nil || n <= 0 {
			return strings.Join(said, "; ")
		}
		_, text, _ := strings.Cut(string(b[:n]), ";")
		text, _, _ = strings.Cut(text, "\n")
		if text, ok := strings.CutPrefix(text, "overlayfs: "); ok {
			said = append(said, text)
		}
	}
}
