package rebase

import "strings"

// A Target is a kind of system, with what its loader and C library leave to
// images.
type Target string

// The targets.
const (
	TargetCygwin  Target = "cygwin"
	TargetMSYS2   Target = "msys2"
	TargetWindows Target = "windows"
	TargetWine    Target = "wine"
)

// Targets are all targets, in the order they are shown.
var Targets = [...]Target{TargetCygwin, TargetMSYS2, TargetWindows, TargetWine}

// A Place says where images of one machine may lie.
type Place struct {
	Room    Range   // where they are placed, from the top down
	Stay    Range   // where one that is in nobody's way may stay
	KeepOut []Range // where none is placed, inside Room
}

// Place returns what a target leaves to the images of a machine.
//
// Cygwin's numbers are those of its memory_layout.h and of its rebase scripts;
// fork needs each DLL where the parent had it, so nothing may stay outside. Its
// port to ARM64 has the layout of x86-64. The C library's DLL brings its own
// keep-out range, see [zone]; on i386 it is linked for 0x61000000.
//
// Windows ignores the base of an image with DYNAMICBASE, and loads the others
// anywhere. The ceiling is that of Windows before 8.1, 8 TiB; on i386 the system's
// own DLLs begin at about 0x70000000, and programs end below 0x10000000.
//
// Wine's own libraries (of version 8, 1,446 files) lie where ld puts what it is
// not told of: at 0x61000000 to 0x72000000 or between 7 and 16 GiB, some of them at
// 0x10000000 and from 0x7a000000 on.
func (t Target) Place(m Machine) Place {
	const anywhere = 1<<47 - Granularity
	wide := m != I386
	switch {
	case t == TargetCygwin || t == TargetMSYS2:
		if wide {
			room := Range{0x200000000, 0x400000000}
			return Place{Room: room, Stay: room}
		}
		room := Range{0x01000000, 0x70000000}
		return Place{Room: room, Stay: room, KeepOut: []Range{{0x60fc0000, 0x61600000}}}
	case !wide && t == TargetWine:
		return Place{Room: Range{0x11000000, 0x61000000}, Stay: Range{Granularity, 1 << 31}}
	case !wide:
		return Place{Room: Range{0x10000000, 0x70000000}, Stay: Range{Granularity, 1<<32 - Granularity}}
	case t == TargetWine:
		return Place{Room: Range{0x400000000, 0x7f000000000}, Stay: Range{Granularity, anywhere}}
	}
	return Place{Room: Range{0x200000000, 0x7f000000000}, Stay: Range{Granularity, anywhere}}
}

// isRuntime reports whether a name is that of the C library of Cygwin or MSYS2,
// which places itself.
func isRuntime(name string) bool {
	base := strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	return base == "cygwin1.dll" || base == "msys-2.0.dll"
}

// zone returns the range Cygwin keeps free around its C library: four slots of
// shared memory before it, eight after it to grow.
func zone(r Range) Range {
	return Range{r.Low - min(r.Low, 4*Granularity), r.High + 8*Granularity}
}
