package unpack

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// when has a script run once, before the first call of a kind.
func when(t *testing.T, r *Root, call, dir, script string) {
	done := false
	r.sys.fault = func(c, name string) error {
		if c == call && !strings.HasPrefix(name, r.state) && !done {
			done = true
			sh(t, dir, script)
		}
		return nil
	}
	t.Cleanup(func() {
		if !done {
			t.Errorf("no %s", call)
		}
	})
}

// TestMeanwhile: what somebody does between plan and swap is not lost, and ends the
// transaction.
func TestMeanwhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, base, install, meanwhile, then string }{
		{"edited", "echo x > f", "echo y > f", "echo mine > f", "[ $(cat f) = mine ]"},
		{"made", "", "echo y > f", "echo mine > f", "[ $(cat f) = mine ]"},
		{"more in a directory", "mkdir d; echo x > d/x", "rm -r d", "echo mine > d/mine", "[ $(cat d/mine) = mine ]; [ $(cat d/x) = x ]"},
		{"edited below a directory", "mkdir d; echo x > d/x", "rm -r d", "echo mine > d/x", "[ $(cat d/x) = mine ]"},
		{"gone", "echo x > f", "echo y > f", "rm f", "[ ! -e f ]"},
		{"mode", "echo x > f; echo g > g", "chmod 755 f; echo h > h", "chmod 700 f", "[ $(stat -c %a f) = 700 ]; [ ! -e h ]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			sh(t, dir, "mkdir base; cd base; "+c.base)
			sh(t, dir, "cp -a base after; cp -a base root; mkdir -p root/var/lib; cd after; "+c.install)
			pkg := makePackage(t, dir+"/base", dir+"/after", "1")
			r := open(t, dir+"/root")
			call := "rename"
			if c.name == "mode" {
				call = "create"
			}
			when(t, r, call, dir+"/root", c.meanwhile)
			_, err := unpackFile(r, pkg, Policy{})
			if err == nil {
				t.Error("it went on")
			}
			sh(t, dir+"/root", c.then+"; [ -z \"$(ls -d .sandbox-install-* 2>/dev/null)\" ]")
			if pending, err := r.Pending(); pending || err != nil {
				t.Errorf("pending %v, %v", pending, err)
			}
			if all, err := r.Packages(); len(all) > 0 || err != nil {
				t.Errorf("packages %v, %v", all, err)
			}
		})
	}
}

// TestSwapper puts a symlink that leads out in the place of a directory, before
// every call. What was staged in a directory that was moved away stays there.
func TestSwapper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sh(t, dir, "mkdir -p base/d/e outside; cp -a base after; for i in 1 2 3; do echo $i > after/d/e/$i; done; mkdir after/d/e/sub; echo x > after/d/e/sub/x")
	pkg := makePackage(t, dir+"/base", dir+"/after", "1")
	for n := 1; ; n++ {
		sh(t, dir, "rm -rf root; cp -a base root; mkdir -p root/var/lib")
		r, err := Open(dir+"/root", Options{})
		check(t, err)
		calls := 0
		r.sys.fault = func(string, string) error {
			if calls++; calls == n {
				sh(t, dir, "mv root/d/e aside; ln -s '"+dir+"/outside' root/d/e")
			}
			return nil
		}
		_, err = unpackFile(r, pkg, Policy{})
		sh(t, dir, "[ -z \"$(ls -A outside)\" ]")
		if calls < n {
			check(t, err)
			check(t, r.Close())
			t.Logf("%d calls", calls)
			return
		}
		r.sys.fault = nil
		sh(t, dir, "[ ! -e aside ] || { rm root/d/e; mv aside root/d/e; }")
		_, err = r.Recover()
		check(t, err)
		sh(t, dir, "[ -z \"$(ls -A outside)\" ]")
		if t.Failed() {
			t.Fatal(n)
		}
		check(t, r.Close())
	}
}

// TestMounts: a root of several file systems.
func TestMounts(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	sh(t, dir, "mkdir -p base/m/d base/n; cd base; echo x > m/f; echo y > m/d/y; ln m/d/y m/d/y2; echo z > n/z; mkfifo m/p")
	sh(t, dir, "cp -a base after; cd after; echo xx > m/f; rm -r m/d; echo new > m/new; ln m/new m/new2; ln m/new n/across; mkdir n/d; ln m/new n/d/across; echo zz > n/z; chmod 600 m/p")
	pkg := makePackage(t, dir+"/base", dir+"/after", "1")
	sh(t, dir, "mkdir -p root/m root/var/lib; mount -t tmpfs tmpfs root/m; cp -a base/. root; touch -r base/m root/m")
	t.Cleanup(func() { sh(t, dir, "umount root/m") })
	old, one := picture(t, dir+"/root"), ""
	r, err := Open(dir+"/root", Options{})
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	_, err = unpackFile(r, pkg, Policy{})
	check(t, err)
	one = picture(t, dir+"/root")
	sh(t, dir, "[ $(cat root/m/f) = xx ]; [ ! -e root/m/d ]; [ root/m/new -ef root/m/new2 ]; cmp root/m/new root/n/across; cmp root/m/new root/n/d/across")
	for i, want := range []string{old, one, old} {
		if i == 0 {
			_, err = r.Remove("thing", Policy{})
		} else {
			_, err = r.Undo(i+1, Policy{})
		}
		check(t, err)
		expect(t, dir+"/root", want)
	}
}

// TestTwoWriters: processes that change one root at a time take turns, and whoever
// comes after one that was killed ends what it began.
func TestTwoWriters(t *testing.T) {
	s := newScene(t, t.TempDir())
	dir := s.fresh(t, s.old)
	rnd := rand.New(rand.NewPCG(1, 3))
	for range 8 {
		var wg sync.WaitGroup
		for i, tr := range []trial{
			{Verb: "unpack", Arg: s.pkg1},
			{Verb: "unpack", Arg: s.pkg2},
			{Verb: "undo"},
			{Verb: "unpack", Arg: s.pkg2},
		} {
			tr.Root = dir
			if i%2 == 1 {
				tr.KillAt = 1 + rnd.IntN(250)
			}
			wg.Go(func() { tr.run(t) })
		}
		wg.Wait()
		r := open(t, dir)
		_, err := r.Recover()
		check(t, err)
		all, err := r.Packages()
		check(t, err)
		want := s.old
		if len(all) == 1 {
			want = map[string]string{"1": s.one, "2": s.two}[all[0].Packaged.Version]
		}
		expect(t, dir, s.pictures[want])
		if bad, err := r.VerifyHistory(); bad != 0 || err != nil {
			t.Errorf("history: %d, %v", bad, err)
		}
		if t.Failed() {
			return
		}
	}
	r := open(t, dir)
	all, err := r.History()
	check(t, err)
	if t.Logf("%d transactions", len(all)); len(all) < 8 {
		t.Error("nobody got anywhere")
	}
}
