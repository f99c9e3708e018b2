package plist

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestUnixModeRoundTrip(t *testing.T) {
	for _, typ := range unixTypes {
		for perm := range uint32(0o10000) {
			st := typ.unix | perm
			mode := ModeFromUnix(st)
			if mode.Type() != typ.mode || UnixMode(mode) != st || UnixPerm(mode) != perm {
				t.Fatalf("st_mode %o became %v, and then %o", st, mode, UnixMode(mode))
			}
		}
	}
	if got := ModeFromUnix(0o755); got != fs.ModeIrregular|0o755 {
		t.Errorf("no type at all became %v", got)
	}
}

// TestModeFromUnixAgreesWithOS compares with what package os makes of real files.
func TestModeFromUnixAgreesWithOS(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, ModeFromUnix(0o104755)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != ModeFromUnix(0o104755) {
		t.Errorf("package os says %v, we say %v", info.Mode(), ModeFromUnix(0o104755))
	}
}

func TestChangeWords(t *testing.T) {
	for c := range Change(255) {
		c++
		got, err := parseChange(c.String())
		if err != nil || got != c {
			t.Fatalf("%08b is written %q and read %08b, %v", c, c, got, err)
		}
	}
	for _, s := range []string{"", "content,", "mode,mode", "Mode"} {
		if _, err := parseChange(s); err == nil {
			t.Errorf("parseChange(%q) took it", s)
		}
	}
}
