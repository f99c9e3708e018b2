package diff3

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name, base, mine, theirs, want string
		conflicts                      int
	}{
		{"nothing", "a\nb\n", "a\nb\n", "a\nb\n", "a\nb\n", 0},
		{"mine alone", "a\nb\nc\n", "a\nB\nc\n", "a\nb\nc\n", "a\nB\nc\n", 0},
		{"theirs alone", "a\nb\nc\n", "a\nb\nc\n", "b\nc\nd\n", "b\nc\nd\n", 0},
		{"both", "a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n", "A\nb\nc\nD\n", 0},
		{"both the same", "a\n", "b\n", "b\n", "b\n", 0},
		{"conflict", "a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n", "a\n<<<<<<< mine\nx\n=======\ny\n>>>>>>> package\nc\n", 1},
		{"no newline at the end", "a\nb", "A\nb", "a\nb\nc", "<<<<<<< mine\nA\nb\n=======\na\nb\nc\n>>>>>>> package\n", 1},
		{"all empty", "", "", "", "", 0},
	} {
		got, conflicts := Merge(c.base, c.mine, c.theirs)
		if got != c.want || conflicts != c.conflicts {
			t.Errorf("%s: %q, %d conflicts\nwant %q, %d", c.name, got, conflicts, c.want, c.conflicts)
		}
	}
}

// FuzzMerge compares with diff3(1) where that sees no conflict, and checks what must
// hold of every merge.
func FuzzMerge(f *testing.F) {
	f.Add("a\nb\nc\nd\n", "a\nx\nb\nd\n", "b\nc\nd\ne\n")
	f.Add("a\na\na\n", "a\n", "a\na\na\na\na\n")
	f.Fuzz(func(t *testing.T, base, mine, theirs string) {
		for _, c := range [][3]string{{base, mine, base}, {base, base, mine}, {base, mine, mine}} {
			if got, conflicts := Merge(c[0], c[1], c[2]); got != mine || conflicts != 0 {
				t.Errorf("%q: %q, %d conflicts", c, got, conflicts)
			}
		}
		_, one := Merge(base, mine, theirs)
		if _, other := Merge(base, theirs, mine); (one == 0) != (other == 0) {
			t.Errorf("%d conflicts one way round, %d the other", one, other)
		}
	})
}

// TestJudge: where diff3(1) merges without conflict and differs from both sides, so
// do we, to the same text.
func TestJudge(t *testing.T) {
	need.Program(t, "diff3")
	const base = "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
	edits := []string{
		base, "0\n" + base, base + "10\n", "1\n2\n3\n4\n5\n6\n7\n8\n", "2\n3\n4\n5\n6\n7\n8\n9\n",
		"1\n2\n3\nx\ny\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\nz\n8\n9\n", "1\n9\n", "",
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, mine := range edits {
		for _, theirs := range edits {
			if mine == theirs {
				continue // diff3 -m calls that a conflict
			}
			var out bytes.Buffer
			cmd := exec.Command("diff3", "-m", write("mine", mine), write("base", base), write("theirs", theirs))
			cmd.Stdout = &out
			merged := cmd.Run() == nil
			got, conflicts := Merge(base, mine, theirs)
			if merged != (conflicts == 0) || merged && got != out.String() {
				t.Errorf("%q and %q: %q, %d conflicts; diff3 says %q", mine, theirs, got, conflicts, out.String())
			}
		}
	}
}

func FuzzDiff(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\nd")
	f.Add("", "x\n")
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, text, other string) {
		hunks := Diff(text, other)
		if got, ok := Apply(text, hunks); !ok || got != other {
			t.Errorf("%q by %v is %q, want %q", text, hunks, got, other)
		}
		if (len(hunks) == 0) != (text == other) {
			t.Errorf("%q and %q differ by %v", text, other, hunks)
		}
	})
}

func TestApplyRefuses(t *testing.T) {
	for _, hunks := range [][]Hunk{{{At: 3}}, {{At: 1, Count: 2}}, {{0, 2, ""}, {1, 0, "x\n"}}, {{At: -1}}} {
		if got, ok := Apply("a\nb\n", hunks); ok {
			t.Errorf("%v is taken: %q", hunks, got)
		}
	}
	if got := Show("a\nb\nc\n", "a\nB\nc\nd\n", 2); got != "-b\n+B\n..." {
		t.Errorf("shown as %q", got)
	}
}
