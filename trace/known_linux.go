package trace

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// knownFilter answers ENOSYS to every number that is beyond the table, and to some
// of i386. An x32 number is beyond it, having bit 30 set. (libseccomp has no rule
// for all numbers beyond one.)
func knownFilter(refusedI386 []int) []byte {
	const (
		offsetNumber, offsetArch = 0, 4 // of struct seccomp_data
		load                     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal                    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		atLeast                  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		answer                   = unix.BPF_RET | unix.BPF_K
	)
	refuse := unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	program := []unix.SockFilter{{Code: load, K: offsetArch}}
	for audit, a := range audits {
		part := []unix.SockFilter{
			{Code: load, K: offsetNumber},
			{Code: atLeast, K: uint32(len(numbered(a))), Jf: 1},
			refuse,
		}
		if a == archI386 {
			for _, n := range refusedI386 {
				part = append(part, unix.SockFilter{Code: equal, K: uint32(n), Jf: 1}, refuse)
			}
		}
		part = append(part, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
		program = append(program, unix.SockFilter{Code: equal, K: audit, Jf: uint8(len(part))})
		program = append(program, part...)
	}
	var code []byte
	for _, i := range append(program, refuse) {
		code = binary.NativeEndian.AppendUint16(code, i.Code)
		code = append(code, i.Jt, i.Jf)
		code = binary.NativeEndian.AppendUint32(code, i.K)
	}
	return code
}
