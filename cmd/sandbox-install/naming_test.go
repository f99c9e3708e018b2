package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestBuildDirs: where a command works, as its words tell, is looked at inside the
// root; and only what has the files of a build is where one is built.
func TestBuildDirs(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{"src/a-1/configure", "src/a-1/sub/Makefile", "src/b/out/CMakeCache.txt", "src/c/setup.py", "srv/data"} {
		name := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		dir  string
		args []string
		want []string
	}{
		{"/src/a-1/sub", []string{"make", "install"}, []string{"/src/a-1"}},
		{"/", []string{"sh", "-euc", "cd /src/a-1 && make install"}, []string{"/src/a-1"}},
		{"/", []string{"sh", "-c", "cd /src; (cd a-1/sub; make); cd /srv"}, []string{"/src/a-1"}},
		{"/", []string{"make", "-j8", "-C", "/src/a-1", "install"}, []string{"/src/a-1"}},
		{"/src", []string{"/usr/bin/make", "--directory=a-1", "install"}, []string{"/src/a-1"}},
		{"/", []string{"cmake", "--install", "/src/b/out", "--prefix", "/src/c"}, []string{"/src/b/out"}},
		{"/", []string{"tar", "-C", "/src/c", "-xf", "x.tar"}, nil},
		{"/", []string{"sh", "-c", "cd /src/c && python3 setup.py install; make -C /src/a-1"}, []string{"/src/c", "/src/a-1"}},
		{"/srv", []string{"sh", "-c", "cd"}, nil},
		{"/", []string{"sh", "-c", "cd; make -C"}, nil},
	} {
		if got := buildDirs(root, c.dir, c.args); !slices.Equal(got, c.want) {
			t.Errorf("%q in %s builds in %q, want %q", c.args, c.dir, got, c.want)
		}
	}
}

func TestGuessName(t *testing.T) {
	dirs := workingDirs("/", []string{"sh", "-c", "cd /usr/src/hello-2.10/po && make install"})
	if name, version := guessName(dirs, "sh"); name != "hello" || version != "2.10" {
		t.Errorf("%s %s, want hello 2.10", name, version)
	}
	if name, version := guessName([]string{"/"}, "/opt/setup.run"); name != "setup.run" || version != "0" {
		t.Errorf("%s %s, want setup.run 0", name, version)
	}
}
