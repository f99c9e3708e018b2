package unpack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// TestPlain does without openat2(2), syncfs(2) and the flags of renameat2(2), as on an
// old kernel or another system, and is killed.
func TestPlain(t *testing.T) {
	t.Parallel()
	s := newScene(t, t.TempDir())
	for _, v := range s.verbs(t) {
		t.Run(v.verb+filepath.Base(v.end), func(t *testing.T) {
			dir := s.fresh(t, v.start)
			calls, failed := trial{Root: dir, Verb: v.verb, Arg: v.arg, Plain: true}.run(t)
			if failed {
				t.Fatal("it failed")
			}
			expect(t, dir, s.pictures[v.end])
			for n := calls; n > 0; n -= *every {
				dir := s.fresh(t, v.start)
				trial{Root: dir, Verb: v.verb, Arg: v.arg, KillAt: n, Plain: true}.run(t)
				trial{Root: dir, Verb: "recover", KillAt: n / 3, Plain: true}.run(t)
				s.recovered(t, v, dir)
				if t.Failed() {
					t.Fatalf("killed before call %d of %d", n, calls)
				}
			}
		})
	}
}

// TestOldKernel has the kernel itself refuse the calls.
func TestOldKernel(t *testing.T) {
	need.Program(t, "strace")
	s := newScene(t, t.TempDir())
	exe, err := os.Executable()
	check(t, err)
	for _, v := range s.verbs(t) {
		dir := s.fresh(t, v.start)
		args := []string{"-f", "-qq", "-o", dir + ".trace", "-e", "trace=openat2,renameat2"}
		for _, inject := range []string{"openat2:error=EPERM", "renameat2:error=EINVAL"} {
			args = append(args, "-e", "inject="+inject)
		}
		cmd := exec.Command("strace", append(args, exe)...)
		cmd.Env = append(os.Environ(), trialVar+"="+trial{Root: dir, Verb: v.verb, Arg: v.arg}.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", v.verb, err, out)
		}
		expect(t, dir, s.pictures[v.end])
		sh(t, s.dir, fmt.Sprintf("grep -q 'openat2.*INJECTED' %s.trace; grep -q 'renameat2.*EXCHANGE.*INJECTED' %[1]s.trace", dir))
	}
}

// TestPlainIsTold: a plan says what a disk that exchanges no names can not promise.
func TestPlainIsTold(t *testing.T) {
	s := newScene(t, t.TempDir())
	for _, plain := range []bool{false, true} {
		m := loadModel(t, s.old)
		m.plain = plain
		pkg, f, err := readPackage(s.pkg1)
		check(t, err)
		plan, err := openModel(t, m).PlanUnpack(pkg, Policy{Devices: true})
		check(t, err)
		check(t, f.Close())
		told := slices.ContainsFunc(plan.Notes, func(note string) bool { return strings.Contains(note, "missing for a moment") })
		if told != plain {
			t.Errorf("plain: %v, notes: %q", plain, plan.Notes)
		}
	}
}
