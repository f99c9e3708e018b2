package tarball

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// aclKeywords are the records by which GNU tar and bsdtar restore ACLs; as
// SCHILY.xattr records GNU tar would not.
var aclKeywords = map[string]string{
	"system.posix_acl_access":  "SCHILY.acl.access",
	"system.posix_acl_default": "SCHILY.acl.default",
}

// aclTags are the tags of linux/posix_acl.h, with the words of acl(5).
var aclTags = map[uint16]string{
	0x01: "user",
	0x02: "user",
	0x04: "group",
	0x08: "group",
	0x10: "mask",
	0x20: "other",
}

// aclText turns the value of an ACL attribute (linux/posix_acl_xattr.h, version
// 2) into the text of acl(5) with numeric ids. It reports false if the value is
// none that the kernel makes.
func aclText(value string) (string, bool) {
	const headerLen, entryLen, version, noID = 4, 8, 2, 1<<32 - 1
	raw := []byte(value)
	if len(raw) <= headerLen || len(raw)%entryLen != headerLen || binary.LittleEndian.Uint32(raw) != version {
		return "", false
	}
	var entries []string
	for raw = raw[headerLen:]; len(raw) > 0; raw = raw[entryLen:] {
		tag := binary.LittleEndian.Uint16(raw)
		perm := binary.LittleEndian.Uint16(raw[2:])
		id := binary.LittleEndian.Uint32(raw[4:])
		word, ok := aclTags[tag]
		named := tag == 0x02 || tag == 0x08
		if !ok || perm > 7 || named == (id == noID) {
			return "", false
		}
		who := ""
		if named {
			who = strconv.FormatUint(uint64(id), 10)
		}
		entries = append(entries, word+":"+who+":"+permText(perm))
	}
	return strings.Join(entries, ","), true
}

// permText writes three permission bits as rwx.
func permText(perm uint16) string {
	b := []byte("rwx")
	for i := range b {
		if perm>>(2-i)&1 == 0 {
			b[i] = '-'
		}
	}
	return string(b)
}
