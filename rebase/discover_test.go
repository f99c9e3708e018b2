package rebase

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDiscover lays out a Cygwin root as another system sees it.
func TestDiscover(t *testing.T) {
	b := newBed(t)
	b.root.Mounts = CygwinMounts
	for _, name := range []string{
		"/bin/cyga.dll", "/bin/cyglsa.dll", "/bin/prog.exe", "/bin/NOTPACKAGED.DLL",
		"/lib/perl/x.so", "/lib/perl/x.txt", "/lib/ocaml/y.so", "/usr/sys-root/mingw/z.dll",
		"/usr/local/m/one.oct", "/usr/local/m/two.mex", "/usr/local/m/three.eln", "/usr/local/m/four.dll.bak",
		"/home/u/plugin", "/home/u/other",
	} {
		b.writeFile(name, nil)
	}
	if err := os.Symlink("one.oct", filepath.Join(b.dir, "usr/local/m/link.dll")); err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	z := gzip.NewWriter(&list)
	if _, err := z.Write([]byte("usr/\nusr/bin/\nusr/bin/cyga.dll\nusr/bin/cyglsa.dll\nusr/bin/prog.exe\nusr/bin/gone.dll\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b.writeFile("/etc/setup/a.lst.gz", list.Bytes())
	b.writeFile("/var/lib/rebase/dynpath.d/perl", []byte("/usr/lib/perl\n/usr/lib/ocaml\n/usr/sys-root\n"))
	b.writeFile("/var/lib/rebase/localpath.d/mine", []byte("/usr/local\r\n\n/nowhere\n"))
	b.writeFile("/var/lib/rebase/userfile.d/u", []byte("/home/u/plugin"))
	b.writeFile("/var/lib/dynfile.d/u", []byte("/home/u/other\n"))

	tests := map[string]struct {
		search  Search
		want    string
		missing string
	}{
		"advertised":    {Search{Advertised: true}, "/home/u/other /home/u/plugin /usr/bin/cyga.dll /usr/lib/perl/x.so /usr/local/m/one.oct /usr/local/m/three.eln /usr/local/m/two.mex", "/nowhere /usr/bin/gone.dll"},
		"a tree":        {Search{Trees: []string{"/usr/bin"}}, "/usr/bin/NOTPACKAGED.DLL /usr/bin/cyga.dll", ""},
		"with programs": {Search{Trees: []string{"/bin"}, Programs: true}, "/usr/bin/NOTPACKAGED.DLL /usr/bin/cyga.dll /usr/bin/prog.exe", ""},
		"no such tree":  {Search{Trees: []string{"/none"}}, "", "/none"},
		"everything":    {Search{Trees: []string{"/"}}, "/usr/bin/NOTPACKAGED.DLL /usr/bin/cyga.dll /usr/lib/perl/x.so /usr/local/m/one.oct /usr/local/m/three.eln /usr/local/m/two.mex", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := Discover(b.root, tt.search)
			if err != nil || len(d.Unread) > 0 {
				t.Fatal(d, err)
			}
			missing := d.Missing
			var names []string
			for _, f := range d.Files {
				names = append(names, f.Name)
			}
			slices.Sort(names)
			slices.Sort(missing)
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := strings.Join(missing, " "); got != tt.missing {
				t.Errorf("missing %s, want %s", got, tt.missing)
			}
		})
	}
}

func TestDiscoverStaysInRoot(t *testing.T) {
	b := newBed(t)
	b.writeFile("/var/lib/rebase/localfile.d/mine", []byte("/../etc/passwd\nrelative\n"))
	if d, err := Discover(b.root, Search{Advertised: true}); err == nil {
		t.Errorf("got %v", d.Files)
	}
}

// TestDiscoverOdd: what is advertised below a file is missing, what can not be looked at is
// told, and the rest is found.
func TestDiscoverOdd(t *testing.T) {
	b := newBed(t)
	for _, name := range []string{"/opt/m/a.dll", "/opt/m/z.dll", "/opt/file", "/out/x.dll"} {
		b.writeFile(name, nil)
	}
	if err := os.Symlink("/", filepath.Join(b.dir, "opt/away")); err != nil {
		t.Fatal(err)
	}
	b.writeFile("/var/lib/rebase/localpath.d/mine", []byte("/opt/file/below\n/opt/m\n/opt/away/out\n"))
	b.writeFile("/var/lib/rebase/localfile.d/mine", []byte("/opt/file/x.dll\n/opt/away/x.dll\n/out/x.dll\n"))
	b.writeFile("/var/lib/dynfile.d", nil)
	d, err := Discover(b.root, Search{Advertised: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(d.Files), "[{/opt/m/a.dll opt/m/a.dll} {/opt/m/z.dll opt/m/z.dll} {/out/x.dll out/x.dll}]"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	if want := []string{"/opt/file/x.dll", "/opt/file/below"}; !slices.Equal(d.Missing, want) || len(d.Unread) != 2 {
		t.Errorf("missing %q, unread %q", d.Missing, d.Unread)
	}
}

// TestDiscoverMeanwhile: what goes while a tree is walked does not end the walk.
func TestDiscoverMeanwhile(t *testing.T) {
	b := newBed(t)
	b.writeFile("/opt/z.dll", nil)
	end := time.Now().Add(300 * time.Millisecond)
	var others sync.WaitGroup
	others.Go(func() {
		for i := 0; time.Now().Before(end); i++ {
			dir := filepath.Join(b.dir, "opt/d"+strconv.Itoa(i%16))
			os.MkdirAll(dir+"/a/b", 0o700) //nolint:errcheck // it may be there
			os.RemoveAll(dir)              //nolint:errcheck // it is made again
			os.WriteFile(dir, nil, 0o600)  //nolint:errcheck // in its place
			os.Remove(dir)                 //nolint:errcheck // it may be a directory
		}
	})
	defer others.Wait()
	for time.Now().Before(end) {
		d, err := Discover(b.root, Search{Trees: []string{"/opt"}})
		if err != nil || len(d.Files) != 1 || len(d.Unread) > 0 {
			t.Fatalf("%+v, %v", d, err)
		}
	}
}

func TestFullTrigger(t *testing.T) {
	b := newBed(t)
	wanted := func(want bool) {
		t.Helper()
		if got, err := FullWanted(b.root); got != want || err != nil {
			t.Errorf("wanted %v, %v", got, err)
		}
	}
	wanted(false)
	for range 2 {
		if err := TriggerFull(b.root); err != nil {
			t.Fatal(err)
		}
		wanted(true)
	}
	if err := FullDone(b.root); err != nil {
		t.Fatal(err)
	}
	wanted(false)
}
