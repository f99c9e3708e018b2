package trace

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// entriesProgram changes files by the calls of i386, and tries those of x32, numbers
// of syscall(2) with bit 30. Its exit status says how the latter were answered: 0 for
// ENOSYS, or that there was nothing to try. It has no library: all its addresses are
// below 4 GiB, and it needs no 32-bit libc.
const entriesProgram = `
static int int80(int nr, const void *a, long b, long c)
{
	int r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return r;
}

#ifdef __x86_64__
static long x32(long nr, const void *a, long b, long c)
{
	long r;
	nr |= 0x40000000;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "memory", "rcx", "r11");
	return r;
}
#endif

void _start(void)
{
	int status = 0;
	int fd = int80(5, "new", 0101, 0644);         /* open */
	int80(4, (void *)(long)fd, (long)"text", 4);  /* write */
	int80(39, "dir", 0755, 0);                    /* mkdir */
	int80(38, "r", (long)"dir/r", 0);             /* rename */
	int80(10, "u", 0, 0);                         /* unlink */
	int80(15, "c", 0600, 0);                      /* chmod */
	int80(92, "t", 1, 0);                         /* truncate */
	int80(9, "l", (long)"l2", 0);                 /* link */
	int80(83, "l", (long)"s", 0);                 /* symlink */
	int80(295, (void *)-100, (long)"at", 0101);   /* openat */
	static struct { short family; char path[8]; } address = { 1, "socket" };
	static int args[3] = { 1, 1, 0 };
	args[0] = int80(102, (void *)1, (long)args, 0); /* socketcall, of socket(2) */
	args[1] = (int)(long)&address, args[2] = sizeof address;
	int80(102, (void *)2, (long)args, 0);         /* and of bind(2) */
#ifdef __x86_64__
	if (x32(2, "x32", 0101, 0644) != -38 || x32(83, "x32dir", 0755, 0) != -38 || x32(87, "c", 0, 0) != -38)
		status = 1;
#endif
	int80(1, (void *)(long)status, 0, 0);
}
`

// TestEntries: a 32-bit program and one that enters the kernel by int 0x80 are seen;
// who enters by x32 gets no answer.
func TestEntries(t *testing.T) {
	need.Root(t)
	if runtime.GOARCH != "amd64" {
		need.Lacks(t, "amd64", runtime.GOARCH)
	}
	gcc := need.Program(t, "gcc")
	for name, flag := range map[string]string{"int 0x80": "-m64", "32 bits": "-m32"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			source, program := filepath.Join(dir, "entries.c"), filepath.Join(dir, "entries")
			if err := os.WriteFile(source, []byte(entriesProgram), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(gcc, flag, "-O1", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector", "-mno-red-zone", "-o", program, source).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			native, captured := filepath.Join(dir, "native"), filepath.Join(dir, "captured")
			for _, d := range []string{native, captured} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
				shell(t, `cd "$1"; for f in r u c t l; do echo $f$f >$f; done; find . -depth -exec touch -h -d 2001-01-01 {} +`, d)
			}
			j := capturetest.Judge{Before: capturetest.Take(t, native), Since: time.Now().Add(-time.Minute)}
			cmd := exec.Command(program)
			cmd.Dir = native
			_ = cmd.Run() // where the kernel has x32, it is no error natively
			j.After = capturetest.Take(t, native)
			for _, made := range []string{"x32", "x32dir"} {
				delete(j.After, made)
			}
			before := take(t, captured)
			r, err := (&Method{}).Run(t.Context(), capture.Command{Args: []string{program}, Dir: captured, Staging: t.TempDir(), Stderr: os.Stderr})
			if err != nil {
				t.Fatal(err)
			}
			if r.ExitCode != 0 {
				t.Error("a call by x32 was let through")
			}
			list := cut(r.List, captured[1:])
			if len(list.Entries) != 11 {
				t.Errorf("%d entries, want 11", len(list.Entries))
			}
			j.Check(t, list, subtree{r.Tree, captured[1:]})
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			same(t, take(t, captured), before)
		})
	}
}
