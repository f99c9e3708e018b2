package rebase

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/internal/winetest"
)

func command(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, stderr.Bytes())
	}
	return string(out)
}

// load loads DLLs into one process and returns what the loader prints.
func load(t testing.TB, w *winetest.Wine, loader string, dlls ...string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(w.Run(t, append([]string{loader}, dlls...)...)), "\n")
}

// compileImages compiles the loader and two DLLs for the same base.
func compileImages(t testing.TB, compiler, dir, base string) (loader, a, b string) {
	t.Helper()
	loader = filepath.Join(dir, "loader.exe")
	command(t, nil, compiler, "-O1", "-o", loader, "testdata/wine/loader.c")
	var dlls []string
	for i, name := range []string{"a.dll", "b.dll"} {
		dll := filepath.Join(dir, name)
		command(t, nil, compiler, "-shared", "-O1", "-DNUMBER="+strconv.Itoa(i+1), "-nostdlib", "-Wl,-e,"+entry(compiler),
			"-Wl,--image-base,"+base, "-Wl,--disable-dynamicbase", "-o", dll, "testdata/wine/answer.c")
		dlls = append(dlls, dll)
	}
	return loader, dlls[0], dlls[1]
}

// entry is DllMain as the linker knows it: 32-bit stdcall is decorated.
func entry(compiler string) string {
	if strings.Contains(compiler, "i686") {
		return "_DllMain@12"
	}
	return "DllMain"
}

// TestWine lets a loader that is not ours judge: it moves the second of two
// images with one base, and after the rebase it moves none, and their functions
// still answer right.
func TestWine(t *testing.T) {
	w := winetest.New32(t)
	for compiler, base := range map[string]uint64{"x86_64-w64-mingw32-gcc": 0x340000000, "i686-w64-mingw32-gcc": 0x34000000} {
		t.Run(compiler, func(t *testing.T) {
			b := newBed(t)
			loader, one, two := compileImages(t, need.Program(t, "mingw", compiler), b.dir, fmt.Sprintf("%#x", base))
			first := fmt.Sprintf("%x 103", base)
			if got := load(t, w, loader, one, two); len(got) != 2 || got[0] != first || strings.HasPrefix(got[1], fmt.Sprintf("%x ", base)) || !strings.HasSuffix(got[1], " 206") {
				t.Fatalf("before: %q", got)
			}
			plan := b.apply(Policy{}, "/a.dll", "/b.dll")
			if plan.Moves() != 1 {
				t.Fatalf("plan:\n%s", told(plan))
			}
			want := []string{first, fmt.Sprintf("%x 206", plan.Placements[1].To)}
			if got := load(t, w, loader, one, two); !slices.Equal(got, want) {
				t.Errorf("after: %q, want %q", got, want)
			}
		})
	}
}

// TestObjdump asks binutils about a moved image.
func TestObjdump(t *testing.T) {
	for _, triplet := range []string{"x86_64-w64-mingw32", "i686-w64-mingw32"} {
		t.Run(triplet, func(t *testing.T) {
			compiler, objdump := need.Program(t, "mingw", triplet+"-gcc"), need.Program(t, "mingw", triplet+"-objdump")
			b := newBed(t)
			compileImages(t, compiler, b.dir, "0x34000000")
			before := command(t, nil, objdump, "-x", "-s", filepath.Join(b.dir, "b.dll"))
			plan := b.apply(Policy{Room: map[Machine]Range{AMD64: {0x200000000, 0x400000000}}}, "/a.dll", "/b.dll")
			to := plan.Placements[1].To
			after := command(t, nil, objdump, "-x", "-s", filepath.Join(b.dir, "b.dll"))
			if want := fmt.Sprintf("ImageBase\t\t%0*x\n", map[string]int{"x86_64-w64-mingw32": 16, "i686-w64-mingw32": 8}[triplet], to); !strings.Contains(after, want) {
				t.Errorf("no %q in\n%s", want, after)
			}
			for _, same := range []string{"Time/Date", "SizeOfImage", "PE File Base Relocations"} {
				if line(before, same) == "" || line(before, same) != line(after, same) {
					t.Errorf("%q became %q", line(before, same), line(after, same))
				}
			}
			if line(before, "CheckSum") == line(after, "CheckSum") {
				t.Error("the checksum did not change")
			}
		})
	}
}

// line returns the first line of text that has a word in it.
func line(text, word string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, word) {
			return l
		}
	}
	return ""
}

// TestOsslsigncode asks another program for checksum and signature.
func TestOsslsigncode(t *testing.T) {
	compiler, signer := need.Program(t, "mingw", "x86_64-w64-mingw32-gcc"), need.Program(t, "osslsigncode", "osslsigncode")
	openssl := need.Program(t, "osslsigncode", "openssl")
	b := newBed(t)
	_, _, two := compileImages(t, compiler, b.dir, "0x340000000")
	key, cert := filepath.Join(b.dir, "key.pem"), filepath.Join(b.dir, "cert.pem")
	command(t, nil, openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout", key, "-out", cert,
		"-addext", "extendedKeyUsage=codeSigning")
	signed := filepath.Join(b.dir, "signed.dll")
	command(t, nil, signer, "sign", "-certs", cert, "-key", key, "-in", two, "-out", signed)
	original := b.read("/signed.dll")
	verify := func(name string) string {
		out, _ := exec.Command(signer, "verify", "-CAfile", cert, "-in", name).CombinedOutput() // fails without a signature
		return string(out)
	}
	if out := verify(signed); !strings.Contains(out, "Signature verification: ok") {
		t.Fatalf("before: %s", out)
	}
	if plan := b.apply(Policy{}, "/a.dll", "/signed.dll"); told(plan) != "/a.dll move 0x3fffe0000\n/signed.dll left signed\n" {
		t.Errorf("a signed image yields:\n%s", told(plan))
	}
	b.undoAll([]string{"/a.dll"})
	b.db.Remove("/signed.dll")
	plan := b.apply(Policy{DropSignature: true, Pins: []Pin{{"a.dll", 0}}}, "/a.dll", "/signed.dll")
	if plan.Moves() != 1 {
		t.Fatalf("plan:\n%s", told(plan))
	}
	out := verify(signed)
	sum := fmt.Sprintf("PE checksum   : %08X\n", b.db.Find("/signed.dll").File.CheckSum) // one line only if stored and computed agree
	if !strings.Contains(out, "No signature found") || !strings.Contains(out, sum) {
		t.Errorf("moved: %s", out)
	}
	b.undoAll([]string{"/signed.dll"})
	if out := verify(signed); !bytes.Equal(b.read("/signed.dll"), original) || !strings.Contains(out, "Signature verification: ok") {
		t.Errorf("undone: %s", out)
	}
}
