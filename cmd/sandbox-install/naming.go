package main

import (
	"os"
	"path/filepath"
	"regexp"
)

// versioned is the usual name of a source directory: hello-2.10, zlib-1.2.13.
var versioned = regexp.MustCompile(`^(.+?)[-_]v?(\d[\w.+~]*)$`)

// guessName finds a package's name and version in the names of the working
// directory and those above it (hello-2.10/build), else in the command's.
func guessName(dir, command string) (name, version string) {
	for d := dir; !isTop(d); d = filepath.Dir(d) {
		if m := versioned.FindStringSubmatch(filepath.Base(d)); m != nil {
			return m[1], m[2]
		}
		if d != dir && !isBuildDir(d) {
			break
		}
	}
	if !isTop(dir) && isBuildDir(dir) {
		return filepath.Base(dir), "0"
	}
	return filepath.Base(command), "0"
}

// isTop reports whether there is no directory above one: "/", `C:\`, or none at all.
func isTop(dir string) bool { return dir == "" || filepath.Dir(dir) == dir }

// buildFiles mark a directory that something is built in.
var buildFiles = []string{
	"Makefile", "makefile", "GNUmakefile", "CMakeCache.txt", "CMakeLists.txt", "build.ninja", "meson.build", "configure", "config.status",
	"Makefile.PL", "Build.PL", "setup.py", "pyproject.toml", "package.json", "Cargo.toml", "go.mod", "SConstruct", "wscript", "build.xml",
}

func isBuildDir(dir string) bool {
	for _, name := range buildFiles {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// buildDir returns the outermost directory of the build that dir is in, or "" if
// dir is not where something is built.
func buildDir(dir string) string {
	found := ""
	for ; !isTop(dir) && isBuildDir(dir); dir = filepath.Dir(dir) {
		found = dir
	}
	return found
}
