package rebase

import (
	"bytes"
	"debug/pe"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// readBytes reads an image from memory.
func readBytes(b []byte) (*Image, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func mustMove(t testing.TB, file []byte, base uint64) []byte {
	t.Helper()
	m, err := readBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := m.Move(file, base)
	if err != nil {
		t.Fatal(err)
	}
	return moved
}

func TestMoveAndRestore(t *testing.T) {
	tests := map[string]struct {
		image rebasetest.Options
		to    uint64
	}{
		"x86-64 up":       {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 3}, 0x5f0000000},
		"x86-64 down":     {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x7ffe00000000}, 0x180000000},
		"arm64":           {rebasetest.Options{Machine: rebasetest.ARM64, Base: 0x180000000}, 0x200000000},
		"i386":            {rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000, Pages: 2}, 0x6fff0000},
		"odd base":        {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340001000}, 0x340010000},
		"no checksum":     {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, NoSum: true}, 0x350000000},
		"header alone":    {rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000, NoFixups: true}, 0x20000000},
		"same base again": {rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000}, 0x10000000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := rebasetest.Image(tt.image)
			moved := mustMove(t, file, tt.to)
			checkMoved(t, file, moved, tt.to)
			m, _ := readBytes(file)
			back, err := Restore(moved, Original{Base: m.Base, CheckSum: m.CheckSum})
			if err != nil || !bytes.Equal(back, file) {
				t.Errorf("Restore did not give back the original: %v", err)
			}
		})
	}
}

// checkMoved looks at a moved image through debug/pe and through the pointers
// that the test image is known to hold.
func checkMoved(t *testing.T, file, moved []byte, base uint64) {
	t.Helper()
	if err := Verify(file, moved); err != nil {
		t.Error(err)
	}
	f, err := pe.NewFile(bytes.NewReader(moved))
	if err != nil {
		t.Fatal(err)
	}
	data, err := f.Sections[0].Data()
	if err != nil {
		t.Fatal(err)
	}
	switch opt := f.OptionalHeader.(type) {
	case *pe.OptionalHeader64:
		checkHeader(t, opt.ImageBase, base, opt.CheckSum, moved)
		if got := le.Uint64(data[8:]); got != base+page && opt.DataDirectory[dirFixups].Size != 0 {
			t.Errorf("first pointer %#x, want %#x", got, base+page)
		}
	case *pe.OptionalHeader32:
		checkHeader(t, uint64(opt.ImageBase), base, opt.CheckSum, moved)
		if got := le.Uint32(data[8:]); got != uint32(base+page) && opt.DataDirectory[dirFixups].Size != 0 {
			t.Errorf("first pointer %#x, want %#x", got, base+page)
		}
	}
}

func checkHeader(t *testing.T, base, want uint64, sum uint32, file []byte) {
	t.Helper()
	if base != want {
		t.Errorf("base %#x, want %#x", base, want)
	}
	if right := rebasetest.Checksum(file, rebasetest.Optional+64); sum != 0 && sum != right {
		t.Errorf("checksum %#x, want %#x", sum, right)
	}
}

func TestChecksum(t *testing.T) {
	file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000})
	for n := range 40 {
		b := append(bytes.Clone(file), bytes.Repeat([]byte{0xff, byte(n)}, n)...)
		b = append(b, file[:n%3]...)
		if got, want := checksum(b, rebasetest.Optional+64), rebasetest.Checksum(b, rebasetest.Optional+64); got != want {
			t.Errorf("%d bytes: %#x, want %#x", len(b), got, want)
		}
	}
	ones := bytes.Repeat([]byte{0xff}, 0x200)
	if got, want := checksum(ones, 0x40), rebasetest.Checksum(ones, 0x40); got != want {
		t.Errorf("all ones: %#x, want %#x", got, want)
	}
}

func TestMoveRefusesBase(t *testing.T) {
	tests := map[string]struct {
		image rebasetest.Options
		to    uint64
	}{
		"not a multiple of 64 KiB":    {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000}, 0x340001000},
		"zero":                        {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000}, 0},
		"end above 4 GiB":             {rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000, Pages: 40}, 0xfffe0000},
		"above 2 GiB, not large":      {rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000, Flags: fileLargeAddress << 1}, 0x80000000},
		"above 128 TiB":               {rebasetest.Options{Machine: rebasetest.ARM64, Base: 0x340000000}, 0x800000000000},
		"32-bit addresses above 4GiB": {rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x10000000, Seed: 3}, 0x340000000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := rebasetest.Image(tt.image)
			if strings.HasSuffix(name, "not large") {
				file[rebasetest.Headers+22] &^= fileLargeAddress
			}
			if tt.image.Seed == 3 { // turn one DIR64 into HIGHLOW
				le.PutUint16(file[rebasetest.Data+page+8:], kindHighLow<<12)
			}
			m, err := readBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Move(file, tt.to); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestOddButRight moves images that are unusual, but leave no doubt.
func TestOddButRight(t *testing.T) {
	const reloc, dirs, sections = rebasetest.Data + 2*page, rebasetest.Optional + 112, rebasetest.Optional + 240
	tests := map[string]func(b []byte) []byte{
		"blocks in another order": func(b []byte) []byte {
			one, two := le.Uint32(b[reloc+4:]), le.Uint32(b[dirs+8*dirFixups+4:])
			copy(b[reloc:], append(bytes.Clone(b[reloc+one:reloc+two]), b[reloc:reloc+one]...))
			return b
		},
		"fixups in another order": func(b []byte) []byte {
			first := bytes.Clone(b[reloc+8 : reloc+10])
			copy(b[reloc+8:], b[reloc+14:reloc+16])
			copy(b[reloc+14:], first)
			return b
		},
		"block at no page": func(b []byte) []byte {
			le.PutUint32(b[reloc:], page+8)
			for at := reloc + 8; at < reloc+40; at += 2 {
				le.PutUint16(b[at:], le.Uint16(b[at:])-8)
			}
			return b
		},
		"block of size zero at the end": func(b []byte) []byte {
			b[dirs+8*dirFixups+4] += 8
			return b
		},
		"no virtual sizes": func(b []byte) []byte {
			clear(b[sections+8:][:4])
			clear(b[sections+48:][:4])
			return b
		},
		"image size not aligned":       func(b []byte) []byte { le.PutUint32(b[rebasetest.Optional+56:], 3*page+0x123); return b },
		"sections without names":       func(b []byte) []byte { clear(b[sections:][:8]); clear(b[sections+40:][:8]); return b },
		"an overlay of an odd length":  func(b []byte) []byte { return append(b, "over"+"lay"...) },
		"directory outside, of size 0": func(b []byte) []byte { le.PutUint32(b[dirs+8*dirTLS:], 0xfffff000); return b },
		"a wrong checksum":             func(b []byte) []byte { b[rebasetest.Optional+64]++; return b },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			file := change(rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 2}))
			moved := mustMove(t, file, 0x7f0000000)
			checkMoved(t, file, moved, 0x7f0000000)
			m, err := readBytes(file)
			if err != nil || len(m.fixups) != 31 {
				t.Errorf("%d fixups, want 31; %v", len(m.fixups), err)
			}
			back, err := Restore(moved, Original{Base: m.Base, CheckSum: m.CheckSum})
			if err != nil || !bytes.Equal(back, file) {
				t.Errorf("not restored: %v", err)
			}
		})
	}
}

// TestVerify damages a moved image in each way Verify exists to find.
func TestVerify(t *testing.T) {
	file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 2})
	reloc := rebasetest.Data + 2*page
	tests := map[string]func(b []byte){
		"an address":         func(b []byte) { b[rebasetest.Data+8]++ },
		"a byte that is not": func(b []byte) { b[rebasetest.Data+16]++ },
		"the last byte":      func(b []byte) { b[len(b)-1]++ },
		"the time stamp":     func(b []byte) { b[rebasetest.Headers+8]++ },
		"the base":           func(b []byte) { b[rebasetest.Optional+26]++ },
		"a fixup":            func(b []byte) { le.PutUint16(b[reloc+8:], kindNothing) },
		"only the checksum":  func(b []byte) { b[rebasetest.Optional+64]++ },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			moved := mustMove(t, file, 0x350000000)
			damage(moved)
			if name != "only the checksum" {
				le.PutUint32(moved[rebasetest.Optional+64:], checksum(moved, rebasetest.Optional+64))
			}
			if err := Verify(file, moved); err == nil {
				t.Error("not found")
			}
		})
	}
}

// TestFixed holds one image for each rule by which images are left alone.
func TestFixed(t *testing.T) {
	reloc, dirs := rebasetest.Data+page, rebasetest.Optional+112
	tests := map[string]struct {
		rule   Rule
		change func(b []byte)
	}{
		"stripped": {RuleStripped, func(b []byte) { b[rebasetest.Headers+22] |= fileStripped }},
		"efi":      {RuleEFI, func(b []byte) { b[rebasetest.Optional+68] = 10 }},
		"efi, loosely laid out": {RuleEFI, func(b []byte) {
			b[rebasetest.Optional+68] = 11
			copy(b[rebasetest.Headers-6:], b[rebasetest.Headers:rebasetest.Data]) // memtest86+ is like this
			b[60] -= 6
			le.PutUint32(b[rebasetest.Optional-6+240+12:], page+0x100)
		}},
		"efi, at an address of a kernel": {RuleEFI, func(b []byte) { // as Xen's
			b[rebasetest.Optional+68] = 10
			le.PutUint64(b[rebasetest.Optional+24:], 0xffff82d040000000)
		}},
		"arm":          {RuleMachine, func(b []byte) { le.PutUint16(b[rebasetest.Headers+4:], 0x1c4) }},
		"two machines": {RuleFixups, func(b []byte) { putLoadConfig(b); b[rebasetest.Data+0x108] = 1 }},
		"load configuration outside": {RuleFixups, func(b []byte) {
			putLoadConfig(b)
			le.PutUint32(b[dirs+8*dirLoadConfig:], 0x700000)
		}},
		"clr":               {RuleCLR, func(b []byte) { b[dirs+8*dirCLR+4] = 72 }},
		"bound":             {RuleBound, func(b []byte) { b[dirs+8*dirBound+4] = 8 }},
		"tls without table": {RuleFixups, func(b []byte) { b[dirs+8*dirTLS+4] = 40; clear(b[dirs+8*dirFixups:][:8]) }},
		"tls without fixup": {RuleFixups, func(b []byte) {
			le.PutUint32(b[dirs+8*dirTLS:], page+16) // right behind the first pointer, which has one
			b[dirs+8*dirTLS+4] = 40
		}},
		"cookie without fixup":   {RuleFixups, func(b []byte) { putLoadConfig(b); b[rebasetest.Data+0x40+88] = 1 }},
		"fixup half in a cookie": {RuleFixups, func(b []byte) { putLoadConfig(b); le.PutUint16(b[reloc+8:], kindDir64<<12|(0x40+88-4)) }},
		"fixup in a length":      {RuleFixups, func(b []byte) { putLoadConfig(b); le.PutUint16(b[reloc+8:], kindDir64<<12|(0x40-4)) }},
		"absolute delay import":  {RuleFixups, func(b []byte) { putDelayImport(b, 0) }},
		"sections share bytes": {RuleFixups, func(b []byte) {
			le.PutUint32(b[rebasetest.Optional+240+40+20:], uint32(reloc-0x200))
			le.PutUint32(b[dirs+8*dirFixups:], 2*page+0x200)
		}},
		"kind 7":             {RuleFixups, func(b []byte) { le.PutUint16(b[reloc+8:], 7<<12) }},
		"kind 3 above 4 GiB": {RuleFixups, func(b []byte) { le.PutUint16(b[reloc+8:], 3<<12) }},
		"same place twice":   {RuleFixups, func(b []byte) { copy(b[reloc+8:], b[reloc+10:reloc+12]) }},
		"overlapping":        {RuleFixups, func(b []byte) { le.PutUint16(b[reloc+8:], kindDir64<<12|204) }},
		"page outside":       {RuleFixups, func(b []byte) { le.PutUint32(b[reloc:], 0x7ff000) }},
		"inside the table": {RuleFixups, func(b []byte) {
			le.PutUint32(b[reloc:], 2*page)
			le.PutUint32(b[reloc+4:], 12)
			le.PutUint32(b[dirs+8*dirFixups+4:], 12)
		}},
		"across the end":      {RuleFixups, func(b []byte) { le.PutUint16(b[reloc+8+2*14:], kindDir64<<12|0xffc) }},
		"block of 6 bytes":    {RuleFixups, func(b []byte) { le.PutUint32(b[reloc+4:], 6) }},
		"block of odd size":   {RuleFixups, func(b []byte) { b[reloc+4]-- }},
		"endless block":       {RuleFixups, func(b []byte) { le.PutUint32(b[reloc+4:], 0xfffffff0) }},
		"zero block, not end": {RuleFixups, func(b []byte) { le.PutUint32(b[reloc+4:], 0) }},
		"table outside":       {RuleFixups, func(b []byte) { le.PutUint32(b[dirs+8*dirFixups:], 0xf00000) }},
		"table too large":     {RuleFixups, func(b []byte) { le.PutUint32(b[dirs+8*dirFixups+4:], 0x7fffffff) }},
		"section not in file": {RuleFixups, func(b []byte) { le.PutUint32(b[rebasetest.Optional+240+40+16:], 0x10000) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000})
			tt.change(file)
			var fixed *Fixed
			if _, err := readBytes(file); !errors.As(err, &fixed) || fixed.Rule != tt.rule {
				t.Errorf("got %v, want rule %s", err, tt.rule)
			}
		})
	}
}

// putLoadConfig gives a 64-bit image a load configuration, in the middle of its data.
func putLoadConfig(b []byte) {
	dir := b[rebasetest.Optional+112+8*dirLoadConfig:]
	le.PutUint32(dir, page+0x40)
	le.PutUint32(dir[4:], 0x100)
	clear(b[rebasetest.Data+0x40:][:0x100])
	b[rebasetest.Data+0x41] = 1 // its length, 0x100
}

// putDelayImport gives an image a delay import, in the middle of its data.
func putDelayImport(b []byte, attributes byte) {
	dir := b[rebasetest.Optional+112+8*dirDelayImport:]
	le.PutUint32(dir, page+0x40)
	le.PutUint32(dir[4:], 64)
	clear(b[rebasetest.Data+0x40:][:64])
	b[rebasetest.Data+0x40] = attributes
	le.PutUint32(b[rebasetest.Data+0x44:], page)
}

// TestAddresses moves images with the directories that may hold addresses, and
// either hold none or have fixups for them.
func TestAddresses(t *testing.T) {
	tests := map[string]func(b []byte){
		"load configuration":    putLoadConfig,
		"relative delay import": func(b []byte) { putDelayImport(b, 1) },
		"not among the directories": func(b []byte) {
			le.PutUint32(b[rebasetest.Optional+108:], 6)
			b[rebasetest.Optional+112+8*dirTLS+4] = 40
		},
		"tls": func(b []byte) {
			dir := b[rebasetest.Optional+112+8*dirTLS:]
			le.PutUint32(dir, page+8) // the first pointer
			dir[4] = 40
			clear(b[rebasetest.Data+16:][:24])
		},
	}
	for name, put := range tests {
		t.Run(name, func(t *testing.T) {
			file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000})
			put(file)
			if _, err := readBytes(file); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	sections := rebasetest.Optional + 240
	tests := map[string]func(b []byte) []byte{
		"empty":                 func(b []byte) []byte { return nil },
		"no MZ":                 func(b []byte) []byte { return b[1:] },
		"only MZ":               func(b []byte) []byte { return b[:64] },
		"headers far away":      func(b []byte) []byte { le.PutUint32(b[60:], 0xfffffff0); return b },
		"headers in DOS header": func(b []byte) []byte { copy(b[4:], b[rebasetest.Headers:rebasetest.Headers+300]); b[60] = 4; return b },
		"cut optional header":   func(b []byte) []byte { return b[:rebasetest.Optional+100] },
		"cut section table":     func(b []byte) []byte { return b[:sections+60] },
		"unknown machine":       func(b []byte) []byte { b[rebasetest.Headers+4]++; return b },
		"width and machine":     func(b []byte) []byte { le.PutUint16(b[rebasetest.Headers+4:], uint16(I386)); return b },
		"too many directories":  func(b []byte) []byte { b[rebasetest.Optional+108] = 17; return b },
		"alignment":             func(b []byte) []byte { b[rebasetest.Optional+32] = 3; return b },
		"image too small":       func(b []byte) []byte { le.PutUint32(b[rebasetest.Optional+56:], page); return b },
		"image too large":       func(b []byte) []byte { le.PutUint32(b[rebasetest.Optional+56:], 0xfffff000); return b },
		"base out of range":     func(b []byte) []byte { b[rebasetest.Optional+31] = 0xff; return b },
		"overlapping sections":  func(b []byte) []byte { le.PutUint32(b[sections+8:], 2*page); return b },
		"headers too short":     func(b []byte) []byte { le.PutUint32(b[rebasetest.Optional+60:], 0x100); return b },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			b := change(rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000}))
			if _, err := ReadHeader(bytes.NewReader(b), int64(len(b))); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestSignature(t *testing.T) {
	file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Signature: []byte("sixteen bytes...")})
	m, err := readBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	var fixed *Fixed
	if _, err := m.Move(file, 0x350000000); !errors.As(err, &fixed) || fixed.Rule != RuleSigned {
		t.Errorf("a signed image was moved: %v", err)
	}
	unsigned, signature, err := m.Unsign(file)
	if err != nil {
		t.Fatal(err)
	}
	moved := mustMove(t, unsigned, 0x350000000)
	if h, _ := readBytes(moved); h.Signed() {
		t.Error("still signed")
	}
	back, err := Restore(moved, Original{Base: m.Base, CheckSum: m.CheckSum, Signature: signature})
	if err != nil || !bytes.Equal(back, file) {
		t.Errorf("Restore did not give back the signed original: %v", err)
	}
	insists, err := readBytes(rebasetest.Image(rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000, Signature: []byte("8 bytes."), DLLFlags: dllIntegrity}))
	if err != nil {
		t.Fatal(err)
	}
	if fixed := insists.checkSignature(); fixed == nil {
		t.Error("the signature may be dropped, although the loader is to insist on it")
	}
	longer := append(bytes.Clone(file), "more"...)
	l, err := readBytes(longer)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Unsign(longer); err == nil {
		t.Error("dropped a signature that is not at the end")
	}
}

// sharedCorpus returns the images of the research corpus, if it is there.
func sharedCorpus(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("SANDBOX_INSTALL_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "corpus/pe/*/*.*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCorpus moves every real image it finds, up and down and back.
func TestCorpus(t *testing.T) {
	files := sharedCorpus(t)
	if len(files) == 0 {
		t.Skip("no ../shared/corpus/pe beside the repository")
	}
	moved := 0
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := readBytes(file)
		if _, errPE := pe.NewFile(bytes.NewReader(file)); errPE != nil && err == nil {
			t.Errorf("%s: accepted, but debug/pe says: %v", name, errPE)
		}
		if err != nil || m.Signed() {
			continue
		}
		moved++
		base := uint64(0x20000000)
		to := mustMove(t, file, base)
		if err := Verify(file, to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		back, err := Restore(to, Original{Base: m.Base, CheckSum: m.CheckSum})
		if err != nil || !bytes.Equal(back, file) {
			t.Errorf("%s: not restored: %v", name, err)
		}
	}
	t.Logf("%d of %d files moved", moved, len(files))
}

// TestCorpusApply lets everything real, and everything awkward, collide at once:
// what is refused stays as it is, and undo gives back the rest.
func TestCorpusApply(t *testing.T) {
	b := newBed(t)
	before := make(map[string][]byte)
	var names []string
	for _, file := range sharedCorpus(t) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := "/" + filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		b.writeFile(name, content)
		before[name], names = content, append(names, name)
	}
	if len(names) == 0 {
		t.Skip("no ../shared/corpus/pe beside the repository")
	}
	plan := b.apply(Policy{}, names...)
	for _, p := range plan.Placements {
		if same := bytes.Equal(before[p.Name], b.read(p.Name)); same == (p.Action == Move) {
			t.Errorf("%s: %s, but changed is %v", p.Name, p.Action, !same)
		}
	}
	b.check()
	var moved []string
	for _, r := range b.db.Records() {
		if r.Was != nil {
			moved = append(moved, r.Name)
		}
	}
	t.Logf("%d moved", len(moved))
	b.undoAll(moved)
	for _, name := range names {
		if !bytes.Equal(before[name], b.read(name)) {
			t.Errorf("%s: not restored", name)
		}
	}
	checkNoLitter(t, b.dir)
}
