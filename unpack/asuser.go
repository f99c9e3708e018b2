package unpack

import (
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// asUser returns the entry as this user can have it.
func (p *planner) asUser(e *plist.Entry) *plist.Entry {
	if os.Geteuid() == 0 || !e.Described() {
		return e
	}
	own := *e
	own.UID, own.GID = uint32(os.Geteuid()), uint32(os.Getegid())
	if own.UID != e.UID && own.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !own.Mode.IsDir() {
		own.Mode &^= fs.ModeSetuid | fs.ModeSetgid
		p.note(e.Path, "is not set-id, because it will be yours")
	}
	own.Xattrs = maps.Clone(e.Xattrs)
	maps.DeleteFunc(own.Xattrs, func(name, _ string) bool {
		theirs := strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
		if theirs {
			p.note(e.Path, "%s is left out: only the superuser may set it", name)
		}
		return theirs
	})
	if len(own.Xattrs) == 0 {
		own.Xattrs = nil
	}
	return &own
}
