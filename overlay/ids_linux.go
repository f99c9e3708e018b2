package overlay

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	osuser "os/user"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

// ids are the ids of a rootless sandbox: 0 is the user, and those from 1 on are
// the user's subordinate ones (subuid(5)), if there are any.
type ids struct {
	sandbox.Users
	lost string // why there is but one id; "" if there are more
}

// idsOf finds the ids that this process may use.
func idsOf() (*ids, error) {
	if unix.Geteuid() == 0 {
		return rootIDs()
	}
	me := &ids{Users: sandbox.Users{
		UIDs: []sandbox.IDMap{{Inside: 0, Outside: unix.Geteuid(), Size: 1}},
		GIDs: []sandbox.IDMap{{Inside: 0, Outside: unix.Getegid(), Size: 1}},
	}}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			me.lost = program + " is not installed"
			return me, nil
		}
	}
	uids, err := subordinate("/etc/subuid")
	if err != nil {
		return nil, err
	}
	gids, err := subordinate("/etc/subgid")
	if err != nil {
		return nil, err
	}
	if len(uids) == 0 || len(gids) == 0 {
		me.lost = "the user has no lines in /etc/subuid and /etc/subgid"
		return me, nil
	}
	me.UIDs, me.GIDs = append(me.UIDs, uids...), append(me.GIDs, gids...)
	return me, nil
}

// subordinate reads the user's ranges, one behind the other from id 1 on.
func subordinate(file string) ([]sandbox.IDMap, error) {
	uid := strconv.Itoa(unix.Geteuid())
	names := []string{uid}
	if me, err := osuser.LookupId(uid); err == nil { // else a user without a name
		names = append(names, me.Username)
	}
	found, err := user.ParseSubIDFileFilter(file, func(s user.SubID) bool {
		return s.Name == names[0] || s.Name == names[len(names)-1]
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var maps []sandbox.IDMap
	next := 1
	for _, s := range found {
		maps = append(maps, sandbox.IDMap{Inside: next, Outside: int(s.SubID), Size: int(s.Count)})
		next += int(s.Count)
	}
	return maps, nil
}

// rootIDs are all ids that root has, each itself.
func rootIDs() (*ids, error) {
	root := &ids{}
	for _, m := range []struct {
		file string
		to   *[]sandbox.IDMap
	}{{"/proc/self/uid_map", &root.UIDs}, {"/proc/self/gid_map", &root.GIDs}} {
		text, err := os.ReadFile(m.file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			var inside, outside, size int
			if _, err := fmt.Sscan(line, &inside, &outside, &size); err != nil {
				return nil, fmt.Errorf("%s: %w", m.file, err)
			}
			*m.to = append(*m.to, sandbox.IDMap{Inside: inside, Outside: inside, Size: size})
		}
	}
	if lastOf(root.UIDs) == 0 {
		root.lost = "this user namespace has no others"
	}
	return root, nil
}

// alone returns the ids without the subordinate ones, which could not be had.
func (i *ids) alone(why error) *ids {
	one := *i
	one.UIDs, one.GIDs, one.lost = i.UIDs[:1], i.GIDs[:1], why.Error()
	return &one
}

// notes says what one id alone loses.
func (i *ids) notes() []plist.Note {
	if i.lost == "" {
		return nil
	}
	return []plist.Note{{
		Kind: plist.NoteHole,
		Text: "every file seemed to be root's to the command, and it could become no other user, for there was but one id: " + i.lost,
	}}
}

// A populace is the ids that files of a sandbox can be shown as.
type populace struct {
	uids, gids []sandbox.IDMap

	// stranger is the last id that there is of either kind from 0 on without a gap. It
	// stands for all that there are not: it is no user's and no group's own, unless it is 0.
	stranger uint32
}

func newPopulace(uids, gids []sandbox.IDMap) populace {
	return populace{uids, gids, min(lastOf(uids), lastOf(gids))}
}

func lastOf(maps []sandbox.IDMap) uint32 {
	next := int64(0)
	for _, m := range maps {
		if int64(m.Inside) == next {
			next += int64(m.Size)
		}
	}
	return uint32(next - 1)
}

func (p *populace) hasUID(id uint32) bool { return p.has(p.uids, id) }
func (p *populace) hasGID(id uint32) bool { return p.has(p.gids, id) }

func (p *populace) has(maps []sandbox.IDMap, id uint32) bool {
	if id == p.stranger && id != 0 {
		return false
	}
	for _, m := range maps {
		if int64(id) >= int64(m.Inside) && int64(id) < int64(m.Inside)+int64(m.Size) && id != math.MaxUint32 {
			return true
		}
	}
	return false
}
