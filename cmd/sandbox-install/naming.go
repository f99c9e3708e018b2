package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// versioned is the usual name of a source directory: hello-2.10, zlib-1.2.13.
var versioned = regexp.MustCompile(`^(.+?)[-_]v?(\d[\w.+~]*)$`)

// guessName finds a package's name and version in the names of the directories that
// the command works in and of those above them (hello-2.10/build), else in the
// command's.
func guessName(dirs []string, command string) (name, version string) {
	for _, dir := range dirs {
		for d := dir; !isTop(d); d = filepath.Dir(d) {
			if m := versioned.FindStringSubmatch(filepath.Base(d)); m != nil {
				return m[1], m[2]
			}
			if d != dir && !isBuildDir("", d) {
				break
			}
		}
	}
	for _, dir := range dirs {
		if !isTop(dir) && isBuildDir("", dir) {
			return filepath.Base(dir), "0"
		}
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

// isBuildDir reports whether dir is one in root, which "" is the system's own.
func isBuildDir(root, dir string) bool {
	for _, name := range buildFiles {
		if _, err := os.Lstat(filepath.Join(root, dir, name)); err == nil {
			return true
		}
	}
	return false
}

// buildDirs returns, for each directory that a command works in, the outermost one of
// the build that it belongs to, if it does.
func buildDirs(root, dir string, args []string) []string {
	var found []string
	for _, dir := range workingDirs(dir, args) {
		top := ""
		for ; !isTop(dir) && isBuildDir(root, dir); dir = filepath.Dir(dir) {
			top = dir
		}
		if top != "" && !slices.Contains(found, top) {
			found = append(found, top)
		}
	}
	return found
}

// builders are programs, each with the flags that tell it where to work.
var builders = map[string][]string{
	"make": {"-C", "--directory"}, "gmake": {"-C", "--directory"}, "bmake": {"-C"},
	"ninja": {"-C"}, "samu": {"-C"}, "meson": {"-C"}, "cmake": {"--install", "--build"},
	"scons": {"-C", "--directory"},
}

// workingDirs are where a command begins, and where it goes as far as its words tell:
// by the cd of a line for the shell, or a flag of a program that builds.
func workingDirs(dir string, args []string) []string {
	dirs := []string{dir}
	from := func(dir, to string) string {
		if filepath.IsAbs(to) {
			return filepath.Clean(to)
		}
		return filepath.Join(dir, to)
	}
	ends := strings.NewReplacer(";", " ; ", "&", " ; ", "|", " ; ", "(", " ; ", ")", " ; ", "\n", " ; ", `"`, " ", "'", " ")
	words := strings.Fields(ends.Replace(strings.Join(args, " ")))
	var flags []string // of the program whose words these are
	for i, word := range words {
		name, value, given := strings.Cut(word, "=")
		if !given && i+1 < len(words) {
			value = words[i+1]
		}
		switch {
		case word == ";":
			flags = nil
		case word == "cd" && value != ";":
			dir = from(dir, value)
			dirs = append(dirs, dir)
		case slices.Contains(flags, name):
			dirs = append(dirs, from(dir, value))
		case flags == nil:
			flags = builders[filepath.Base(word)]
		}
	}
	return dirs
}
