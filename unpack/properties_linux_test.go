package unpack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestReaders: whoever reads what both versions have, while they take turns, finds
// it every time, and whole.
func TestReaders(t *testing.T) {
	t.Parallel()
	v := newVersions(t, "")
	const files = 40
	install := func(n string) string {
		return fmt.Sprintf("mkdir d; for i in $(seq %d); do head -c 20000 /dev/zero | tr '\\0' %s > d/$i; done; ln -s $(( %s * 3 )) d/link", files, n, n)
	}
	one, two := v.pkg("thing", "1", install("1")), v.pkg("thing", "2", install("2"))
	v.unpack(one, Policy{})
	var stop atomic.Bool
	var reads atomic.Int64
	var wg sync.WaitGroup
	for reader := range 2 {
		wg.Go(func() {
			for i := reader; !stop.Load(); i++ {
				text, err := os.ReadFile(fmt.Sprintf("%s/root/d/%d", v.dir, i%files+1))
				if err != nil || len(text) != 20000 || text[0] != text[19999] {
					t.Errorf("file %d: %d bytes, %v", i%files+1, len(text), err)
					return
				}
				if _, err := os.Readlink(v.dir + "/root/d/link"); err != nil {
					t.Error(err)
					return
				}
				if names, err := v.r.Owners("d/7"); err != nil || len(names) != 1 || names[0] != "thing" {
					t.Errorf("owners %v, %v", names, err)
					return
				}
				reads.Add(1)
			}
		})
	}
	for range 10 {
		v.unpack(two, Policy{})
		_, err := v.r.Undo(0, Policy{})
		check(t, err)
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d reads in 20 swaps of %d files", reads.Load(), files)
}

// TestLinkedAttributes: a file with two names gets other attributes once, by either.
func TestLinkedAttributes(t *testing.T) {
	v := newVersions(t, "")
	v.unpack(v.pkg("thing", "1", "echo x > f; ln f g"), Policy{})
	was := picture(t, v.dir+"/root")
	v.unpack(v.pkg("thing", "2", "echo x > f; ln f g; chmod 755 f"), Policy{})
	sh(t, v.dir+"/root", "[ -x f ]; [ f -ef g ]")
	_, err := v.r.Undo(0, Policy{})
	check(t, err)
	expect(t, v.dir+"/root", was)
}

// TestRandom does random verbs with random packages and edits of the user; then
// every earlier state comes back by undoing.
func TestRandom(t *testing.T) {
	for seed := range uint64(1 + 58 / *every) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testRandom(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testRandom(t *testing.T, rnd *rand.Rand) {
	v := newVersions(t, "mkdir etc usr; echo root:x:0: > etc/group; echo mine > usr/mine; mkfifo usr/p; echo h > usr/h1; ln usr/h1 usr/h2")
	var pkgs []Package
	for n := range 6 {
		pkg := v.pkg(fmt.Sprint("p", n%2), fmt.Sprint(n), fmt.Sprintf(
			"mkdir -p usr/d%d/e; echo %d > usr/d%d/e/f; echo %d > usr/own%d; echo %d > etc/p%d.conf; ln -s %d usr/link%d; ln usr/h1 usr/p%d; chmod 75%d usr",
			n, n, n, n, n%2, n, n%2, n, n%2, n%2, n))
		pkgs = append(pkgs, pkg)
	}
	pictures := []string{picture(t, v.dir+"/root")}
	var done []string
	for len(pictures) < 12 {
		pkg := pkgs[rnd.IntN(len(pkgs))]
		what := ""
		var err error
		switch rnd.IntN(4) {
		case 0, 1:
			what = "unpack " + pkg.List.Name + " " + pkg.List.Version
			_, err = v.r.Unpack(pkg, Policy{Save: true, Take: []string{"usr"}})
		case 2:
			what = "remove " + pkg.List.Name
			_, err = v.r.Remove(pkg.List.Name, Policy{})
		case 3:
			number := 1 + rnd.IntN(len(pictures))
			what = fmt.Sprint("undo ", number)
			_, err = v.r.Undo(number, Policy{})
		}
		var refused Refused
		if errors.As(err, &refused) || errors.Is(err, ErrNotInstalled) || err != nil && what[:4] == "undo" {
			continue
		}
		if err != nil {
			t.Fatalf("%v, %s: %v", done, what, err)
		}
		done = append(done, what)
		pictures = append(pictures, picture(t, v.dir+"/root"))
	}
	for _, to := range []int{len(pictures) - 2, len(pictures) / 2, 1, 0} {
		numbers, err := v.r.PlanRollback(to)
		check(t, err)
		for _, n := range numbers {
			if _, err := v.r.Undo(n, Policy{}); err != nil {
				t.Fatalf("%v, rollback to %d, undo %d: %v", done, to, n, err)
			}
		}
		expect(t, filepath.Join(v.dir, "root"), pictures[to])
		if t.Failed() {
			t.Fatalf("%v, rolled back to %d", done, to)
		}
	}
	if bad, err := v.r.VerifyHistory(); bad != 0 || err != nil {
		t.Errorf("history: %d, %v", bad, err)
	}
}
