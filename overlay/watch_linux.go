package overlay

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// A watch tells a Watcher of the command's system calls.
type watch struct {
	capture.Watcher
	filter []byte
	server *sandbox.Server
	err    error
}

func newWatch() (*watch, error) {
	w, err := capture.NewWatcher()
	if err != nil {
		return nil, err
	}
	filter, err := w.Filter()
	if err != nil {
		return nil, &capture.Unavailable{Reason: err}
	}
	return &watch{Watcher: w, filter: filter}, nil
}

// serve answers all questions until end.
func (w *watch) serve(listener *os.File) {
	w.server, w.err = sandbox.Serve(listener, func(q *sandbox.Question) unix.Errno {
		w.Saw(&capture.SystemCall{Thread: q.TID, Arch: q.Arch, Number: q.Number, Args: q.Args})
		return 0
	})
}

func (w *watch) end() error {
	if w.server == nil {
		return w.err
	}
	return w.server.Close()
}

// instructions returns the filter's.
func (w *watch) instructions() []unix.SockFilter {
	return unsafe.Slice((*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(w.filter))), len(w.filter)/unix.SizeofSockFilter)
}
