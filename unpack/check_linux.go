package unpack

import (
	"errors"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A Finding is a path of a package that is not as it was installed.
type Finding struct {
	Path string
	What string // "missing", "there again" or what differs: "content", "mode" ...
}

// Check compares what a package has with what is there. Times of directories are
// not compared.
func (r *Root) Check(rec *Record) ([]Finding, error) {
	var findings []Finding
	for i := range rec.Installed.Entries {
		e := &rec.Installed.Entries[i]
		now, _, err := r.sys.lstat(e.Path, andHash)
		there := !errors.Is(err, fs.ErrNotExist)
		if there && err != nil {
			return nil, err
		}
		if what := finding(e, &now, there); what != "" {
			findings = append(findings, Finding{e.Path, what})
		}
	}
	return findings, nil
}

func finding(e, now *plist.Entry, there bool) string {
	switch {
	case e.Op == plist.OpDelete && there:
		return "there again"
	case e.Op == plist.OpDelete:
		return ""
	case !there:
		return "missing"
	}
	return capture.Difference(e, now).String()
}
