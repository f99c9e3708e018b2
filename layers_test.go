package sandboxinstall

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sandbox-install/sandbox-install"

// layers says which packages of ours a package may import, and which modules it
// alone keeps ("*" for the standard library only). A new package adds its line.
var layers = map[string]struct{ ours, modules []string }{
	"plist":               {},
	"plist/dialect":       {ours: []string{"plist", "internal/dll"}},
	"capture":             {ours: []string{"plist", "internal/diff3"}, modules: []string{"github.com/zeebo/blake3", "golang.org/x/sys", "github.com/bmatcuk/doublestar/v4", "golang.org/x/sync"}},
	"capture/capturetest": {ours: []string{"plist", "capture", "internal/need"}, modules: []string{"golang.org/x/sys"}},
	"internal/diff3":      {},
	"internal/dll":        {},
	"internal/infodir":    {},
	"internal/need":       {},
	"internal/winetest":   {ours: []string{"internal/need"}},
	"internal/sandbox":    {modules: []string{"golang.org/x/sys", "github.com/opencontainers/runc", "github.com/opencontainers/cgroups", "github.com/moby/sys/capability"}},
	"overlay":             {ours: []string{"plist", "capture", "internal/sandbox", "overlay/fuse"}, modules: []string{"golang.org/x/sys", "github.com/moby/sys/mountinfo", "github.com/moby/sys/user", "golang.org/x/sync"}},
	"overlay/fuse":        {modules: []string{"github.com/hanwen/go-fuse/v2", "golang.org/x/sys"}},
	"hashdiff":            {ours: []string{"plist", "capture", "internal/sandbox"}, modules: []string{"github.com/zeebo/blake3", "golang.org/x/sys", "golang.org/x/sync"}},
	"trace":               {ours: []string{"plist", "capture", "internal/sandbox"}, modules: []string{"golang.org/x/sys", "github.com/seccomp/libseccomp-golang"}},
	"trace/redirect":      {ours: []string{"plist", "capture", "internal/sandbox"}, modules: []string{"golang.org/x/sys"}},
	"tarball":             {ours: []string{"plist"}, modules: []string{"github.com/klauspost/compress", "golang.org/x/sys"}},
	"rebase":              {ours: []string{"plist"}, modules: []string{"github.com/zeebo/blake3", "golang.org/x/sync", "golang.org/x/sys"}},
	"rebase/rebasetest":   {},
	"unpack":              {ours: []string{"plist", "capture", "tarball", "internal/diff3", "internal/dll", "internal/infodir"}, modules: []string{"golang.org/x/sys"}},
	"cmd/sandbox-install": {ours: []string{"plist", "plist/dialect", "capture", "overlay", "trace", "trace/redirect", "hashdiff", "tarball", "rebase", "unpack", "internal/infodir", "internal/sandbox"}, modules: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term"}},
	"e2e":                 {},
	".":                   {},
}

// TestLayers parses the files itself: a test that asked the go command would be
// answered from the cache after a forbidden import was added.
func TestLayers(t *testing.T) {
	seen := make(map[string]bool)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(name))
		seen[pkg] = true
		checkImports(t, name, pkg)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range layers {
		if !seen[pkg] && pkg != "." && pkg != "e2e" {
			t.Errorf("%s: in the table, but there is no such package", pkg)
		}
	}
}

func checkImports(t *testing.T, name, pkg string) {
	t.Helper()
	may, ok := layers[pkg]
	if !ok {
		t.Errorf("%s: package %s has no line in the table", name, pkg)
		return
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		if ours, ok := strings.CutPrefix(imp, module+"/"); ok {
			if !slices.Contains(may.ours, ours) {
				t.Errorf("%s: %s may not import %s", name, pkg, ours)
			}
			continue
		}
		if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
			continue // standard library
		}
		if !slices.ContainsFunc(may.modules, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") }) {
			t.Errorf("%s: %s may not import module %s", name, pkg, imp)
		}
	}
}
