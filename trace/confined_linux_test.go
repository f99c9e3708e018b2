package trace

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// containerCapabilities are those that Docker gives by default.
const containerCapabilities = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"

// TestConfined captures the same as root, as root of a container, and as an ordinary
// user in a directory of his own.
func TestConfined(t *testing.T) {
	need.Root(t)
	need.Program(t, "setpriv")
	var want string
	for _, who := range []struct {
		name  string
		uid   int
		start []string
		note  string // of a set-user-id program
	}{
		{"root", 0, []string{"setpriv"}, ""},
		{"container", 0, []string{"setpriv", "--bounding-set", containerCapabilities, "--inh-caps", "-all", "--no-new-privs"}, "ids"},
		{"user", 65534, []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}, "ids"},
	} {
		t.Run(who.name, func(t *testing.T) {
			dir := openDir(t, who.uid)
			setUp := exec.Command("setpriv", "--reuid", fmt.Sprint(who.uid), "--regid", fmt.Sprint(who.uid), "--clear-groups", "sh", "-ec", crashBefore, "sh", dir+"/live")
			if out, err := setUp.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			before := take(t, dir+"/live")
			cmd := exec.Command(who.start[0], append(who.start[1:], dir+"/self")...)
			cmd.Env = append(os.Environ(), crashVariable+"=1000000:"+dir+":run")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
			}
			got, notes, _ := strings.Cut(strings.ReplaceAll(string(out), dir[1:], ""), "notes:\n")
			if want == "" {
				want = got
			}
			if got != want || strings.Count(got, "\n") < 10 {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if !strings.Contains(notes, who.note) || (notes == "") != (who.note == "") {
				t.Errorf("notes %q, want %q", notes, who.note)
			}
			same(t, take(t, dir+"/live"), before)
			if left := journals(t, dir+"/staging"); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

// openDir makes a directory for a user, and puts this program there.
func openDir(t *testing.T, uid int) string {
	t.Helper()
	dir := t.TempDir()
	for _, open := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"live", "staging"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, sub), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	program, err := os.OpenFile(filepath.Join(dir, "self"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(program, self); err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// printResult prints what two runs must have in common, then the notes.
func printResult(r *capture.Result) error {
	for i := range r.List.Entries {
		e := &r.List.Entries[i]
		fmt.Printf("%d %s %q %v %d %s %q\n", e.Op, e.Changed, e.Path, e.Mode, e.Size, e.Digest, e.Link)
		if !e.HasContent() {
			continue
		}
		f, err := r.Tree.Open(e.Path)
		if err != nil {
			return err
		}
		digest, err := capture.Digest(f)
		if err != nil {
			return err
		}
		if digest != e.Digest {
			return fmt.Errorf("%q: the tree holds another content", e.Path)
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	fmt.Println("notes:")
	for _, n := range r.List.Notes {
		if n.Kind != plist.NoteOutlived {
			fmt.Println(n.Text)
		}
	}
	return r.Close()
}
