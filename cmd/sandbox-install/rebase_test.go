package main

import (
	"bytes"
	"context"
	"debug/pe"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/zeebo/blake3"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// A rebaseBed is a root with images, for which the command is run.
type rebaseBed struct {
	testing.TB
	dir string
}

func newRebaseBed(t testing.TB, images map[string]rebasetest.Options) *rebaseBed {
	t.Helper()
	b := &rebaseBed{t, t.TempDir()}
	for name, o := range images {
		b.write(name, rebasetest.Image(o))
	}
	return b
}

func (b *rebaseBed) write(name string, content []byte) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(b.dir+name), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(b.dir+name, content, 0o644); err != nil {
		b.Fatal(err)
	}
}

func (b *rebaseBed) read(name string) []byte {
	b.Helper()
	content, err := os.ReadFile(b.dir + name)
	if err != nil {
		b.Fatal(err)
	}
	return content
}

// run runs "rebase ARGS", DIR standing for the bed's directory, and returns what
// it printed: standard output, then standard error; the directory is DIR again.
func (b *rebaseBed) run(want int, line string) string {
	b.Helper()
	out, err := os.Create(filepath.Join(b.TempDir(), "out"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	args := strings.Fields(strings.ReplaceAll(line, "DIR", b.dir))
	cmd := rebaseCommand(&stdio{in: os.Stdin, out: out, err: out})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	status := 0
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		status = report(out, err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		b.Fatal(err)
	}
	if status != want {
		b.Fatalf("%s: status %d, want %d\n%s", line, status, want, text)
	}
	return strings.ReplaceAll(string(text), b.dir, "DIR")
}

// twoOnOne are images that a Microsoft linker put on the same base.
func twoOnOne() map[string]rebasetest.Options {
	return map[string]rebasetest.Options{
		"/usr/bin/a.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 2},
		"/usr/bin/b.dll": {Machine: rebasetest.AMD64, Base: 0x180000000},
	}
}

func TestRebaseLife(t *testing.T) {
	b := newRebaseBed(t, twoOnOne())
	before := b.read("/usr/bin/b.dll")
	const flags = " --db DIR/db --root DIR "
	const move = "move /usr/bin/b.dll 0x180000000 -> 0x7effffe0000\n"

	if got := b.run(0, "plan"+flags+"DIR/usr/bin"); !strings.HasPrefix(got, move) {
		t.Errorf("plan: %s", got)
	}
	if _, err := os.Stat(b.dir + "/db"); err == nil || !bytes.Equal(before, b.read("/usr/bin/b.dll")) {
		t.Error("plan wrote something")
	}
	if got := b.run(0, "apply"+flags+"DIR/usr/bin/b.dll DIR/usr/bin/a.dll"); got != move+"sandbox-install: 1 moved, 1 kept, 0 left alone, 0 skipped, 0 failed\n" {
		t.Errorf("apply: %s", got)
	}
	if got := b.run(0, "info"+flags); !regexp.MustCompile(`x86-64   base 0x000180000000 size 0x00004000 slot 0x00020000 /usr/bin/a.dll\n.*0x07effffe0000.*b.dll\n$`).MatchString(got) {
		t.Errorf("info: %s", got)
	}
	b.run(0, "check"+flags)
	b.write("/list", []byte(b.dir+"/usr/bin/a.dll\r\n"+b.dir+"/usr/bin/b.dll\n"))
	if got := b.run(0, "apply"+flags+"-T DIR/list"); !strings.Contains(got, "0 moved, 2 kept") {
		t.Errorf("apply of a list: %s", got)
	}
	if got := b.run(0, "apply"+flags+"DIR/usr/bin"); !strings.Contains(got, "0 moved, 2 kept") {
		t.Errorf("second apply: %s", got)
	}
	b.run(0, "undo"+flags+"--all")
	if !bytes.Equal(before, b.read("/usr/bin/b.dll")) {
		t.Error("not restored")
	}
	if got := b.run(0, "info"+flags); strings.Contains(got, "b.dll") {
		t.Errorf("still recorded: %s", got)
	}
}

// TestRebaseSeed000 goes through the wishes of Gentoo Prefix on Cygwin: rebase in
// a staging directory against what is installed, register, unregister, reuse the
// address of what is replaced, and respect the databases below.
func TestRebaseSeed000(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/usr/bin/base.dll":         {Machine: rebasetest.AMD64, Base: 0x3ffff0000},
		"/prefix/bin/own.dll":       {Machine: rebasetest.AMD64, Base: 0x3fff00000},
		"/stage/prefix/bin/new.dll": {Machine: rebasetest.AMD64, Base: 0x3ffff0000},
	})
	b.run(0, "register --db DIR/etc.db --db-format rbii --root DIR DIR/usr/bin/base.dll")
	b.run(0, "register --db DIR/own.db --root DIR --base-db DIR/etc.db DIR/prefix/bin/own.dll")
	parent := b.read("/etc.db")

	const staged = " --db DIR/own.db --root DIR --strip-prefix stage --base-db DIR/etc.db --target cygwin "
	if got := b.run(0, "apply"+staged+"DIR/stage"); !strings.HasPrefix(got, "move /prefix/bin/new.dll 0x3ffff0000 -> 0x3fffd0000\n") {
		t.Errorf("apply: %s", got)
	}
	b.write("/prefix/bin/new.dll", b.read("/stage/prefix/bin/new.dll"))
	const installed = " --db DIR/own.db --root DIR --base-db DIR/etc.db "
	b.run(0, "check"+installed)

	b.write("/stage/prefix/bin/new.dll", rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x180000000, Seed: 9}))
	if got := b.run(0, "apply"+staged+"DIR/stage"); !strings.HasPrefix(got, "move /prefix/bin/new.dll 0x180000000 -> 0x3fffd0000\n") {
		t.Errorf("the update has another address: %s", got)
	}
	if got := b.run(1, "check"+installed); !strings.HasPrefix(got, "modified /prefix/bin/new.dll: ") {
		t.Errorf("check before the update is installed: %s", got)
	}
	b.run(0, "unregister --db DIR/own.db /prefix/bin/new.dll")
	if got := b.run(125, "unregister --db DIR/own.db /prefix/bin/new.dll"); !strings.Contains(got, "not recorded") {
		t.Errorf("unregister: %s", got)
	}
	if !bytes.Equal(parent, b.read("/etc.db")) {
		t.Error("the other layer's database was written")
	}
}

func TestRebaseRegisterRefuses(t *testing.T) {
	b := newRebaseBed(t, twoOnOne())
	if got := b.run(1, "register --db DIR/db --root DIR DIR/usr/bin"); !strings.HasPrefix(got, "fail /usr/bin/b.dll 0x180000000: its addresses are taken: /usr/bin/a.dll\n") {
		t.Errorf("register: %s", got)
	}
	b.run(0, "register --db DIR/db --root DIR --force DIR/usr/bin")
	if got := b.run(0, "info --db DIR/db"); strings.Count(got, " * ") != 2 {
		t.Errorf("info: %s", got)
	}
	if got := b.run(1, "check --db DIR/db --root DIR"); strings.Count(got, "collides ") != 2 {
		t.Errorf("check: %s", got)
	}
	if got := b.run(0, "apply --db DIR/db --root DIR DIR/usr/bin"); !strings.Contains(got, "move /usr/bin/b.dll") {
		t.Errorf("apply: %s", got)
	}
	b.run(0, "check --db DIR/db --root DIR")
}

func TestRebaseDiscover(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/opt/m/a.so":      {Machine: rebasetest.AMD64, Base: 0x180000000},
		"/opt/m/b.so":      {Machine: rebasetest.AMD64, Base: 0x180000000, Seed: 1},
		"/opt/gone/c.so":   {Machine: rebasetest.AMD64, Base: 0x180000000, Seed: 2},
		"/home/u/plugin":   {Machine: rebasetest.AMD64, Base: 0x180000000, Seed: 3},
		"/opt/m/i386.dll":  {Machine: rebasetest.I386, Base: 0x10000000},
		"/opt/m/other.dll": {Machine: rebasetest.ARM64, Base: 0x180000000},
	})
	b.write("/opt/m/elf.so", []byte("\x7fELF"))
	b.write("/var/lib/rebase/localpath.d/m", []byte("/opt\n/none\n"))
	b.write("/var/lib/rebase/userfile.d/u", []byte("/home/u/plugin\n"))
	const flags = " --db DIR/db --db-format rbii --root DIR --discover "
	if got := b.run(0, "apply"+flags); !strings.Contains(got, "/none: advertised, but not there\nsandbox-install: 4 moved, 0 kept, 0 left alone, 3 skipped") {
		t.Errorf("apply: %s", got)
	}
	if err := os.RemoveAll(b.dir + "/opt/gone"); err != nil {
		t.Fatal(err)
	}
	if got := b.run(0, "apply"+flags); !strings.Contains(got, " 0 moved, 3 kept") {
		t.Errorf("second apply: %s", got)
	}
	b.run(0, "trigger --root DIR")
	b.run(0, "apply"+flags)
	if got := b.run(0, "info --db DIR/db"); strings.Contains(got, "c.so") || strings.Count(got, "\n") != 3 {
		t.Errorf("after the full rebase: %s", got)
	}
	if got := b.run(0, "apply"+flags); !strings.Contains(got, " 0 moved, 3 kept") {
		t.Errorf("after the full rebase: %s", got)
	}
}

func TestRebaseCompact(t *testing.T) {
	b := newRebaseBed(t, twoOnOne())
	b.run(0, "register --db DIR/db --root DIR DIR/usr/bin/b.dll")
	if got := b.run(125, "apply --db DIR/db --root DIR --compact"); !strings.Contains(got, "-> 0x7effffe0000") || !strings.Contains(got, "hint: --yes") {
		t.Errorf("without --yes: %s", got)
	}
	b.run(0, "check --db DIR/db --root DIR")
	b.run(0, "apply --db DIR/db --root DIR --compact --yes")
	if got := b.run(0, "info --db DIR/db"); !strings.Contains(got, "0x07effffe0000") {
		t.Errorf("info: %s", got)
	}
}

func TestRebaseMaps(t *testing.T) {
	b := newRebaseBed(t, twoOnOne())
	got := b.run(0, "plan --db DIR/db --root DIR --map --names --svg DIR/map.svg DIR/usr/bin")
	for _, want := range []string{"before |!!!", "after  |#", "= 0x07effffe0000 /usr/bin/b.dll"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	svg := string(b.read("/map.svg"))
	if strings.Count(svg, `class="clash box"`) != 2 || strings.Count(svg, `class="moved box"`) != 1 || !strings.Contains(svg, ">a.dll</text>") {
		t.Errorf("the picture:\n%s", svg)
	}
}

func TestRebaseJSON(t *testing.T) {
	b := newRebaseBed(t, twoOnOne())
	var got struct{ Placements []jsonPlacement }
	if err := json.Unmarshal([]byte(b.run(0, "apply --json --db DIR/db --root DIR DIR/usr/bin")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Placements) != 2 || got.Placements[1].To != "0x7effffe0000" {
		t.Errorf("got %+v", got)
	}
	for _, line := range []string{"info --json --db DIR/db", "check --json --db DIR/db --root DIR"} {
		if text := b.run(0, line); !json.Valid([]byte(text)) {
			t.Errorf("%s: %s", line, text)
		}
	}
}

func TestRebaseUsage(t *testing.T) {
	b := newRebaseBed(t, twoOnOne())
	b.write("/not.db", []byte("something else"))
	for _, line := range []string{
		"plan DIR/usr/bin",
		"plan --db DIR/db --root DIR",
		"plan --db DIR/db --root DIR/usr DIR/not.db",
		"plan --db DIR/db --room x86-64=5 DIR/usr/bin",
		"plan --db DIR/db --room vax=0x1-0x2 DIR/usr/bin",
		"plan --db DIR/db --keep-out 5 DIR/usr/bin",
		"plan --db DIR/db --pin [ DIR/usr/bin",
		"plan --db DIR/db --pin a=0x1 DIR/usr/bin",
		"plan --db DIR/db --mount a=/b DIR/usr/bin",
		"plan --db DIR/db --target dos DIR/usr/bin",
		"info",
	} {
		cmd := rebaseCommand(&stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(strings.Fields(strings.ReplaceAll(line, "DIR", b.dir)))
		if err := cmd.Execute(); err == nil {
			t.Errorf("%s: accepted", line)
		}
	}
	for _, line := range []string{"check --db DIR/none --root DIR", "undo --all --db DIR/none", "unregister --missing --db DIR/none", "info --db DIR/none"} {
		if got := b.run(125, line); !strings.Contains(got, "no such file") {
			t.Errorf("%s: %s", line, got)
		}
	}
	if got := b.run(125, "plan --db DIR/not.db --root DIR DIR/usr/bin"); !strings.Contains(got, "neither rBiI nor our text form") {
		t.Errorf("got %s", got)
	}
}

// tarballOf packs files of the bed, as a capture of them would.
func (b *rebaseBed) tarballOf(name string, paths ...string) {
	b.Helper()
	list := &plist.List{Name: "dlls", Version: "1", Prefix: "/"}
	for _, path := range paths {
		content := b.read("/" + path)
		list.Entries = append(list.Entries, plist.Entry{
			Op: plist.OpAdd, Path: path, Mode: 0o644, ModTime: time.Unix(1, 0), Size: int64(len(content)), Digest: blake3.Sum256(content),
			UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
		})
	}
	list.Sort()
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	f, err := os.Create(b.dir + name)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(tarball.Write(f, list, plist.DirTree{Root: root}, tarball.Options{}), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// TestRebaseUnpack unpacks two images for one base: one of them arrives moved,
// without its signature, recorded, and declared to the root's own records.
func TestRebaseUnpack(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/a.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 2},
		"/b.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, DLLFlags: 0x40, Signature: []byte("8 bytes.")},
	})
	b.write("/c.txt", []byte("text\n"))
	b.tarballOf("/dlls.tar", "a.dll", "b.dll", "c.txt")
	if err := os.Mkdir(b.dir+"/target", 0o755); err != nil {
		t.Fatal(err)
	}
	main := func(line string) {
		t.Helper()
		if status := run(context.Background(), strings.Fields(strings.ReplaceAll(line, "DIR", b.dir)), os.Stdin, os.Stdout, os.Stderr); status != 0 {
			t.Fatalf("%s: status %d", line, status)
		}
	}
	main("plan --root DIR/target --rebase-db DIR/db DIR/dlls.tar")
	if _, err := os.Stat(b.dir + "/db"); err == nil {
		t.Error("plan wrote the database")
	}
	main("unpack --root DIR/target --rebase-db DIR/db --rebase-drop-signature --rebase-clear-dynamic-base DIR/dlls.tar")
	if file, err := pe.Open(b.dir + "/target/b.dll"); err != nil {
		t.Error(err)
	} else if h := file.OptionalHeader.(*pe.OptionalHeader64); h.DllCharacteristics != 0 || h.DataDirectory[4].Size != 0 || errors.Join(file.Close()) != nil {
		t.Errorf("flags %#x, signature %+v", h.DllCharacteristics, h.DataDirectory[4])
	}
	main("check --root DIR/target")
	main("rebase check --root DIR/target --db DIR/db")
	if bytes.Equal(b.read("/b.dll"), b.read("/target/b.dll")) || !bytes.Equal(b.read("/c.txt"), b.read("/target/c.txt")) {
		t.Error("b.dll did not move, or something else changed")
	}
	main("rebase undo --root DIR/target --db DIR/db --all")
	if !bytes.Equal(b.read("/b.dll"), b.read("/target/b.dll")) {
		t.Error("not restored")
	}
}

// TestRebaseSigned names the flag that moves a signed image, and then moves it.
func TestRebaseSigned(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/a.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 2, Signature: []byte("8 bytes.")},
		"/b.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, Signature: []byte("8 bytes.")},
	})
	const hint = "hint: --drop-signature moves"
	if got := b.run(1, "apply --db DIR/db --root DIR DIR/a.dll DIR/b.dll"); !strings.Contains(got, hint) {
		t.Errorf("got %s", got)
	}
	if got := b.run(0, "apply --db DIR/db --root DIR --drop-signature DIR/a.dll DIR/b.dll"); strings.Contains(got, hint) || !strings.Contains(got, "move /b.dll") {
		t.Errorf("got %s", got)
	}
}

// TestRebaseRun captures an installation of two DLLs and unpacks what comes out.
func TestRebaseRun(t *testing.T) {
	need.Root(t)
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/src/a.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 2},
		"/src/b.dll": {Machine: rebasetest.AMD64, Base: 0x180000000},
	})
	main := func(args ...string) {
		t.Helper()
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "DIR", b.dir)
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Args[0] = "sandbox-install" // the name by which the test binary is the program
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	main("run", "--name", "dlls", "--version", "1", "-o", "DIR", "--rebase-db", "DIR/db", "--", "cp", "-r", "DIR/src", "/opt/rebase-test")
	if _, err := os.Stat("/opt/rebase-test"); err == nil {
		t.Fatal("the host was changed")
	}
	if err := os.Mkdir(b.dir+"/target", 0o755); err != nil {
		t.Fatal(err)
	}
	main("unpack", "--root", "DIR/target", "DIR/dlls-1.tar.zst")
	main("rebase", "check", "--root", "DIR/target", "--db", "DIR/db")
	if got := b.run(0, "info --db DIR/db"); strings.Count(got, "0x000180000000") != 1 || strings.Count(got, "/opt/rebase-test/") != 2 {
		t.Errorf("info: %s", got)
	}
}
