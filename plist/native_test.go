package plist

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// every holds at least one of all that a list can say.
func every() *List {
	body := Entry{
		Op: OpAdd, Path: "usr/bin/a b", Mode: fs.ModeSetuid | 0o755, UID: 1, GID: 4294967295,
		ModTime: time.Unix(-2, 500000000), Size: 1 << 40, Digest: Digest{0xab, 31: 0x01}, Flags: 0x10, Rebased: &Rebased{0x180000000, 0x3fffe0000, Digest{0xcd}},
		Xattrs: map[string]string{"user.a=b": "\x00\xff", "security.capability": "", "user. \n": "x"},
	}
	body.By = []string{"in,stall", "ma ke", "", "\xff"}
	link := body
	link.Path, link.Link, link.By = "usr/bin/a*b", body.Path, []string{"ln"}
	return &List{
		Name: "a b", Version: "1=2\\", Prefix: "/usr/p k g",
		Notes:    []Note{{NoteHole, "a \xff hole\nand # more"}, {NoteShared, ""}},
		Accounts: []Account{{AccountUser, "a b:1:1:A, B:/:/bin/sh"}, {AccountGroup, ""}},
		Info:     []InfoEntry{{Dir: "info/dir", Text: "a dir\n\n* Menu:\n", Preamble: true}, {"info/d ir", "", "* B: (c).  d\n   e", "* A: (a)b.", false}},
		Provides: []Dependency{{DependencySoname, "liba b.so", ""}},
		Requires: []Dependency{{DependencySoname, "libc.so.6", "GLIBC_2.2"}, {DependencyDLL, "", ""}},
		Entries: []Entry{
			{Op: OpModify, Changed: ChangedMode | ChangedTime, Path: ".", Mode: fs.ModeDir | fs.ModeSticky | 0o777, ModTime: time.Unix(1, 2)},
			{Op: OpDelete, Path: "dev", Mode: fs.ModeDir},
			{Op: OpDelete, Path: "dev/x", Mode: fs.ModeDevice, Class: ClassNoise, Rule: "no=ise [1]", By: []string{"rm"}},
			{Op: OpModify, Changed: ChangedContent, Path: "edited", Mode: 0o644, ModTime: time.Unix(1, 0), Size: 1, Was: &Was{Digest{0xef}, []OldLines{{0, 1, "a = b\n"}, {1, 0, "#\n"}, {7, 2, ""}}}},
			{Op: OpDelete, Path: "gone", Mode: fs.ModeSymlink, Digest: Digest{0x12}},
			{Op: OpModify, Path: "same", Mode: 0, Class: ClassIdentical, Rule: "identical"},
			{Op: OpAdd, Path: "sock", ModTime: time.Unix(0, 0), Mode: fs.ModeSocket | 0o600},
			body, link,
			{Op: OpModify, Changed: ChangedType, Path: "usr/bin/c", Mode: fs.ModeSymlink | 0o777, ModTime: time.Unix(1, 0), Link: "../ü?*[ #=", Was: &Was{Digest: Digest{0x34}}},
			{Op: OpAdd, Path: "usr/d\\", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, ModTime: time.Unix(1, 0), Major: 4095, Minor: 1048575},
			{Op: OpAdd, Path: "usr/e", Mode: fs.ModeDevice | 0o600, ModTime: time.Unix(1, 0), Major: 8},
			{Op: OpAdd, Path: "usr/p", Mode: fs.ModeNamedPipe | 0o600, ModTime: time.Date(9999, 1, 1, 0, 0, 0, 999999999, time.UTC)},
		},
	}
}

func nativeText(t testing.TB, l *List) string {
	t.Helper()
	var buf strings.Builder
	if err := WriteNative(&buf, l); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func sameList(a, b *List) bool {
	return slices.Equal(a.Info, b.Info) && a.Name == b.Name && a.Version == b.Version && a.Prefix == b.Prefix && slices.Equal(a.Notes, b.Notes) &&
		slices.Equal(a.Accounts, b.Accounts) && slices.Equal(a.Provides, b.Provides) && slices.Equal(a.Requires, b.Requires) &&
		slices.EqualFunc(a.Entries, b.Entries, func(x, y Entry) bool { return x.Same(&y) })
}

func TestNativeRoundTrip(t *testing.T) {
	long := &List{Prefix: "/"}
	for i := range 2*nativeChunk + 1 {
		long.Entries = append(long.Entries, Entry{Op: OpAdd, Path: fmt.Sprintf("%06d", i), ModTime: time.Unix(1, 0), Mode: fs.ModeDir})
	}
	for _, l := range []*List{{}, {Name: "n", Prefix: "/"}, every(), long} {
		text := nativeText(t, l)
		got, err := ReadNative(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if !sameList(got, l) {
			t.Errorf("read %.2000v\nof    %.2000s", got, text)
		}
	}
}

// TestNativeText pins the form down: files of old versions must stay readable.
func TestNativeText(t *testing.T) {
	l := every()
	l.Entries = l.Entries[7:10]
	want := `#mtree sandbox-install 1
#package name=a\040b version=1\0752\134 prefix=/usr/p\040k\040g
#note hole a\040\377\040hole\012and\040\043\040more
#note shared 
#user a\040b:1:1:A,\040B:/:/bin/sh
#group 
#info-dir info/dir a\040dir\012\012\052\040Menu:\012
#info info/d\040ir  \052\040A:\040(a)b. \052\040B:\040(c).\040\040d\012\040\040\040e
#provides soname liba\040b.so 
#requires soname libc.so.6 GLIBC_2.2
#requires dll  
./usr/bin/a\040b op=add by=in\054stall,ma\040ke,,\377 type=file mode=4755 uid=1 gid=4294967295 time=-2.500000000 size=1099511627776 blake3=ab00000000000000000000000000000000000000000000000000000000000001 inodeflags=0x10 rebased=0x180000000,0x3fffe0000,cd00000000000000000000000000000000000000000000000000000000000000 xattr.security.capability= xattr.user.\040\012=eA== xattr.user.a\075b=AP8=
./usr/bin/a\052b op=add by=ln type=file mode=4755 uid=1 gid=4294967295 time=-2.500000000 size=1099511627776 blake3=ab00000000000000000000000000000000000000000000000000000000000001 hardlink=./usr/bin/a\040b inodeflags=0x10 rebased=0x180000000,0x3fffe0000,cd00000000000000000000000000000000000000000000000000000000000000 xattr.security.capability= xattr.user.\040\012=eA== xattr.user.a\075b=AP8=
./usr/bin/c op=modify change=type type=link mode=0777 uid=0 gid=0 time=1.000000000 link=../\303\274\077\052\133\040\043\075 was=3400000000000000000000000000000000000000000000000000000000000000
`
	if got := nativeText(t, l); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// ours are the words of a line that mtree(5) does not know. Libarchive reads on
// after them, but with a warning that is its exit status.
var ours = regexp.MustCompile(` (op|change|class|rule|blake3|hardlink|inodeflags|rebased|was|old\.[0-9.]*|xattr\.[^ ]*)=[^ \n]*`)

// TestNativeIsMtree lets libarchive read the list and write it as it understood it.
func TestNativeIsMtree(t *testing.T) {
	bsdtar := need.Program(t, "bsdtar")
	l := every()
	l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool {
		// No deletions and sockets in a tar, and libarchive reads times and ids as signed numbers.
		return !e.Described() || e.Mode.Type() == fs.ModeSocket || e.ModTime.Unix() < 0 || e.ModTime.Year() == 9999
	})
	cmd := exec.Command(bsdtar, "-cf", "-", "--format=mtree",
		"--options=mtree:!all,mtree:type,mtree:mode,mtree:uid,mtree:gid,mtree:time,mtree:device,mtree:link", "@-")
	cmd.Stdin = strings.NewReader(ours.ReplaceAllString(nativeText(t, l), ""))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bsdtar: %v", err)
	}
	got := make(map[string]string) // path -> words
	for line := range strings.Lines(string(out)) {
		if first, words, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, ".") {
			path, err := unvisPath(strings.TrimSuffix(first, "/"))
			if err != nil {
				t.Fatal(err)
			}
			if got[path], err = unvis(words); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, e := range l.Entries {
		var line nativeLine
		line.entry(&e)
		for word := range strings.FieldsSeq(ours.ReplaceAllString(string(line), "")) {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "mode":
				word = "mode=" + strings.TrimPrefix(value, "0")
			case "time":
				sec, nsec, _ := strings.Cut(value, ".")
				word = "time=" + sec + "." + strings.TrimLeft(nsec[:8], "0") + nsec[8:]
			case "link":
				word = "link=" + e.Link
			case "size", visPath(e.Path):
				continue
			}
			if !strings.Contains(" "+got[e.Path]+" ", " "+word+" ") {
				t.Errorf("%q: %q is not in what libarchive understood: %q", e.Path, word, got[e.Path])
			}
		}
	}
}

func TestReadNativeRefuses(t *testing.T) {
	const head = nativeMagic + "\n#package name=n version=1 prefix=/\n"
	const file = "./f op=add type=file mode=0644 uid=0 gid=0 time=0.000000000 size=0 blake3=0000000000000000000000000000000000000000000000000000000000000000"
	was := " was=" + strings.Repeat("ab", 32)
	if _, err := ReadNative(strings.NewReader(head + strings.Replace(file, "op=add", "op=modify change=content", 1) + was + " old.1.1=x old.2.0=y\n")); err != nil {
		t.Fatalf("what all cases of old lines vary: %v", err)
	}
	if _, err := ReadNative(strings.NewReader(head + file + "\n")); err != nil {
		t.Fatalf("the base of all cases is refused: %v", err)
	}
	for _, tt := range []struct{ text, want string }{
		{nativeMagic + "\n", "#package"},
		{nativeMagic + "\n" + file + "\n", "#package"},
		{nativeMagic + "\n#package name=n name=n\n", "line 2: unknown or repeated"},
		{nativeMagic + "\n#package name=n version=1\n", "line 2: prefix is missing"},
		{head + "#note odd x\n", "unknown kind"},
		{head + "#note\n", "#note: 0 words, want 2"},
		{head + "#requires soname x\n", "want 3"},
		{head + "#package name=n version=1 prefix=/\n", "unknown header"},
		{head + file + "\n#note hole x\n", "line 4: unknown header"},
		{head + "\n", "line 3"},
		{head + "f op=add type=file\n", "does not begin with ./"},
		{head + "./f type=file\n", "op or type is missing"},
		{head + "./f op=add\n", "op or type is missing"},
		{head + "./f op=add type=file type=file\n", "repeated"},
		{head + "./f op=add type\n", "without value"},
		{head + "./f op=add type=file colour=red\n", "colour: unknown keyword"},
		{head + "./f op=add type=file mode=10000\n", "mode"},
		{head + "./f op=add type=file uid=4294967296\n", "uid"},
		{head + "./f op=add type=file time=1\n", "time"},
		{head + "./f op=add type=file time=1.1000000000\n", "time"},
		{head + "./f op=add type=file time=1.000000000 size=-1\n", "size"},
		{head + "./f op=add type=file blake3=00\n", "blake3"},
		{head + "./f op=add type=file link=g\n", "link"},
		{head + "./f op=add type=link hardlink=./g\n", "hardlink"},
		{head + "./f op=add type=char device=native,1,2x\n", "device"},
		{head + "./f op=add type=char device=1,2\n", "device"},
		{head + "./f op=add type=file inodeflags=1_0\n", "inodeflags"},
		{head + "./f op=add type=file rebased=0x1,2,ab\n", "rebased"},
		{head + "./f op=add type=file rebased=0x1,0x2\n", "rebased"},
		{head + "./f op=add type=file rebased=0x1,0x2,ab\n", "rebased"},
		{head + "./f op=modify change=content type=file old.0.1=x\n", "without was"},
		{head + "./f op=modify change=content type=file was=ab old.0.1=x\n", "was"},
		{head + strings.Replace(file, "op=add", "op=modify change=content", 1) + was + " old.0.-1=x\n", "old.0.-1"},
		{head + strings.Replace(file, "op=add", "op=modify change=content", 1) + was + " old.1.1=x old.1.0=y\n", "out of order"},
		{head + strings.Replace(file, "op=add", "op=modify change=mode", 1) + was + "\n", "only changed content"},
		{head + file + was + "\n", "only changed content"},
		{head + "#info-dir ../x y\n", "not clean"},
		{head + "./f op=add type=file xattr.user.a=!\n", "xattr.user.a"},
		{head + "./f op=add type=file xattr.user.a= xattr.user.\\141=\n", "repeated"},
		{head + "./f\\1 op=add type=file\n", "backslash"},
		{head + "./f\\18x op=add type=file\n", "backslash"},
		{head + "./f\\400 op=add type=file\n", "backslash"},
		{head + "./../f op=add type=file\n", "not clean"},
		{head + "./f op=delete type=file mode=0644\n", "gone or only mentioned"},
	} {
		_, err := ReadNative(strings.NewReader(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q, for\n%s", err, tt.want, tt.text)
		}
	}
	for _, text := range []string{"", "#mtree\n", nativeMagic + "2\n", strings.Repeat("x", 1<<20)} {
		if _, err := ReadNative(strings.NewReader(text)); !errors.Is(err, ErrNotNative) {
			t.Errorf("%v for %.20q", err, text)
		}
	}
	broken := errors.New("broken")
	if _, err := ReadNative(io.MultiReader(strings.NewReader(head), errorReader{broken})); !errors.Is(err, broken) {
		t.Errorf("a reader that broke gives %v", err)
	}
}

// TestWriteNativeRefuses: what could not be read back is not written.
func TestWriteNativeRefuses(t *testing.T) {
	for _, l := range []*List{
		{Entries: []Entry{{Path: "f"}}},
		{Entries: []Entry{{Op: OpAdd, Path: "f", Mode: fs.ModeIrregular}}},
		{Notes: []Note{{"a b", ""}}},
	} {
		if err := WriteNative(io.Discard, l); err == nil {
			t.Errorf("wrote %+v", l)
		}
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func FuzzNative(f *testing.F) {
	var buf bytes.Buffer
	if err := WriteNative(&buf, every()); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte(nativeMagic + "\n#package name= version= prefix=/\n./f op=delete type=socket\n./g op=modify change=content class=shared rule=a\\040b type=file\n"))
	f.Add([]byte(nativeMagic + "\n#package prefix=/ version= name=\n./f gid=1 type=file op=add xattr.a=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ReadNative(bytes.NewReader(text))
		if err != nil {
			return
		}
		once := nativeText(t, l)
		again, err := ReadNative(strings.NewReader(once))
		if err != nil {
			t.Fatalf("%v in what was written for %q:\n%s", err, text, once)
		}
		if !sameList(l, again) {
			t.Fatalf("read %+v, wrote and read %+v", l, again)
		}
	})
}

func million() *List {
	l := &List{Name: "n", Version: "1", Prefix: "/usr"}
	for i := range 1_000_000 {
		l.Entries = append(l.Entries, Entry{
			Op: OpAdd, Path: fmt.Sprintf("usr/share/some-package/data/%03d/file-%06d.dat", i/1000, i),
			Mode: 0o644, ModTime: time.Unix(1700000000, int64(i)), Size: int64(i), Digest: Digest{byte(i), byte(i >> 8)},
		})
	}
	return l
}

func BenchmarkWriteNativeMillion(b *testing.B) {
	l := million()
	for b.Loop() {
		if err := WriteNative(io.Discard, l); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadNativeMillion(b *testing.B) {
	text := nativeText(b, million())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadNative(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
