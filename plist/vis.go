package plist

import (
	"fmt"
	"strconv"
	"strings"
)

// Vis escapes s as vis(3) does with VIS_OCTAL|VIS_GLOB|VIS_WHITE: what is not a
// graphic ASCII character, or has a meaning in mtree(5), becomes \ooo. So does
// "=", which is needed in names of extended attributes.
func Vis(s string) string {
	n := 0 // bytes to escape
	for i := range len(s) {
		if special[s[i]] {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+3*n)
	for i := range len(s) {
		if c := s[i]; special[c] {
			b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// special are the bytes that Vis escapes.
var special = func() (set [256]bool) {
	for c := range set {
		set[c] = c <= ' ' || c >= 0x7f || strings.IndexByte(`\#*?[=`, byte(c)) >= 0
	}
	return set
}()

// unvis is the inverse of Vis; it takes no other escapes than Vis makes.
func unvis(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i+4 > len(s) {
			return "", fmt.Errorf("%q: cut off after a backslash", s)
		}
		v, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			return "", fmt.Errorf("%q: a backslash without three octal digits", s)
		}
		b = append(b, byte(v))
		i += 3
	}
	return string(b), nil
}

// visPath writes an entry path as mtree(5) does: "./a/b", the root ".".
func visPath(path string) string {
	if path == "." {
		return path
	}
	return "./" + Vis(path)
}

func unvisPath(s string) (string, error) {
	if s == "." {
		return s, nil
	}
	rest, ok := strings.CutPrefix(s, "./")
	if !ok {
		return "", fmt.Errorf("path %q does not begin with ./", s)
	}
	return unvis(rest)
}
