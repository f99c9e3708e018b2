package rebase

import (
	"bytes"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// FuzzImage moves whatever can be read there and back.
func FuzzImage(f *testing.F) {
	for _, m := range Machines {
		f.Add(rebasetest.Image(rebasetest.Options{Machine: uint16(m), Base: 0x10000000}), uint64(0x20000000))
	}
	f.Add(rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 2}), uint64(0x350000000))
	f.Add(rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Signature: []byte("8 bytes.")}), uint64(0x350000000))
	f.Fuzz(func(t *testing.T, file []byte, base uint64) {
		m, err := readBytes(file)
		if err != nil {
			return
		}
		original, was := file, Original{Base: m.Base, CheckSum: m.CheckSum}
		if m.Signed() {
			if file, was.Signature, err = m.Unsign(file); err != nil {
				return
			}
			if m, err = readBytes(file); err != nil {
				t.Fatalf("without its Signature: %v", err)
			}
		}
		moved, err := m.Move(file, base)
		if err != nil {
			return
		}
		if err := Verify(file, moved); err != nil {
			t.Fatal(err)
		}
		back, err := Restore(moved, was)
		if err != nil || !bytes.Equal(back, original) {
			t.Fatalf("not restored: %v", err)
		}
	})
}
