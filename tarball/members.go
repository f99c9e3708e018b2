package tarball

import (
	"io/fs"

	"github.com/sandbox-install/sandbox-install/plist"
)

// members says which entries of a list are members of its archive, and how. It
// does what plist.List.Packed does without making a second list, of which a
// million entries would be too large.
type members struct {
	list *plist.List
	full bool

	// bodies has the member that holds the content for a first name that is none.
	bodies map[string]string
}

func newMembers(l *plist.List, full bool) *members {
	ms := &members{list: l, full: full, bodies: make(map[string]string)}
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.IsHardlink() || !ms.has(e) || ms.has(l.Find(e.Link)) {
			continue
		}
		if _, ok := ms.bodies[e.Link]; !ok {
			ms.bodies[e.Link] = e.Path
		}
	}
	return ms
}

// has reports whether e is a member: it is there, belongs to what is archived,
// and is no socket, for which tar has no type.
func (ms *members) has(e *plist.Entry) bool {
	return e.Op != plist.OpDelete && e.Mode.Type() != fs.ModeSocket && (ms.full || e.Packed())
}

// member returns e as a member. Precondition: has(e).
func (ms *members) member(e *plist.Entry) member {
	m := member{Entry: e, link: e.Link}
	if body, ok := ms.bodies[e.Link]; ok && e.IsHardlink() {
		m.link = body
		if body == e.Path {
			m.link = ""
		}
	}
	return m
}

// content returns the entry under which the bytes of the regular file path are
// archived, or nil.
func (ms *members) content(path string) *plist.Entry {
	for {
		e := ms.list.Find(path)
		if e == nil || !ms.has(e) || !e.Mode.IsRegular() {
			return nil
		}
		m := ms.member(e)
		if !m.hardlink() {
			return e
		}
		path = m.link
	}
}
