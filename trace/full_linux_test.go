package trace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// fullBefore makes directories of files that take much place to be kept.
const fullBefore = `cd "$1"
	for i in $(seq 30); do mkdir -p d$i/e; head -c 9000 /dev/urandom >d$i/f; ln d$i/f d$i/g; ln -s f d$i/l; done
	find . -depth -exec touch -h -d 2001-01-01 {} +`

// fullRun changes everything, whatever it is answered, and fills up the disk.
const fullRun = `cd "$1"
	for i in $(seq 30); do
		mv d$i/e m$i && mv d$i m$i/n && mkdir d$i && mv m$i d$i/e
		echo x >>d$i/e/n/f; chmod 700 d$i/e/n/l; rm d$i/e/n/g
		ln -sfn gone d$i/e/n/l
	done 2>/dev/null
	head -c 2M /dev/zero >big 2>/dev/null
	for i in $(seq 30 -1 1); do mv d$i/e/n d$i/o; echo y >>d$i/o/f; done 2>/dev/null
	exit 3`

// TestDiskFull has the disk full while the journal is written: what can not be kept
// is not changed, and all that was changed is put back.
func TestDiskFull(t *testing.T) {
	need.Root(t)
	for _, c := range []struct{ name, live, staging, left string }{
		{"journal on ext4", "", "ext4", ""},
		{"journal on tmpfs", "", "tmpfs", ""},
		{"all on one ext4", "ext4", "", "300k"},
		{"all on one xfs", "xfs", "", "300k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			small := filepath.Join(dir, "small")
			mountSmall(t, small, c.live+c.staging)
			live, staging := filepath.Join(small, "live"), filepath.Join(small, "staging")
			if c.live == "" {
				live = filepath.Join(dir, "live")
			}
			for _, d := range []string{live, staging} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.Command("sh", "-ec", fullBefore, "sh", live).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if c.live != "" { // but for a little
				fill(t, filepath.Join(small, "ballast"), c.left)
			}
			before := take(t, live)
			ran := false
			r, err := (&Method{}).Run(t.Context(), capture.Command{
				Args: []string{"/bin/sh", "-c", fullRun, "sh", live}, Env: os.Environ(), Dir: "/", Staging: staging, Stderr: os.Stderr,
				Ended: func() { ran = true },
			})
			switch {
			case err == nil:
				if r.ExitCode != 3 {
					t.Errorf("exit status %d", r.ExitCode)
				}
				full := false
				for _, n := range r.List.Notes {
					full = full || n.Kind == plist.NoteHole && strings.Contains(n.Text, "no space left")
				}
				if !full {
					t.Errorf("no note of a full disk: %q", r.List.Notes)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			case !errors.Is(err, unix.ENOSPC) || !ran:
				t.Error(err)
			default:
				t.Log(err)
			}
			same(t, take(t, live), before)
			if left := journals(t, staging); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

// mountSmall mounts a new file system of little room until the test ends.
func mountSmall(t *testing.T, at, typ string) {
	t.Helper()
	script := map[string]string{
		"tmpfs": `mount -t tmpfs -o size=150k,nr_inodes=250 small "$1"`,
		"ext4":  `truncate -s 2M "$1.img"; mkfs.ext4 -q -b 1024 -N 700 -m 0 "$1.img"; mount -o loop "$1.img" "$1"`,
		"xfs":   `truncate -s 300M "$1.img"; mkfs.xfs -q "$1.img"; mount -o loop "$1.img" "$1"`,
	}[typ]
	if typ != "tmpfs" {
		need.Program(t, "mkfs."+typ)
	}
	if out, err := exec.Command("sh", "-ec", `mkdir "$1"; `+script, "sh", at).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// fill leaves some room on a file system that holds a file.
func fill(t *testing.T, name, left string) {
	t.Helper()
	out, err := exec.Command("sh", "-c", `head -c 1G /dev/zero >"$1"; sync "$1"; truncate -s "-$2" "$1"; sync "$1"; test -s "$1"`, "sh", name, left).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
