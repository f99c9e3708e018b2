package rebase

import "math/bits"

// checksum returns the PE image checksum of a file, whose own checksum field
// lies at the even offset field: the ones' complement sum of its 16-bit words,
// that field left out, plus the file's length. It is what ImageHlp's
// CheckSumMappedFile computes.
func checksum(file []byte, field int64) uint32 {
	own := uint64(le.Uint16(file[field:])) + uint64(le.Uint16(file[field+2:]))
	sum := foldSum(onesSum(file)) + 2*0xffff - foldSum(own) // to subtract is to add the complement
	return uint32(foldSum(sum)) + uint32(len(file))
}

// onesSum adds the words four at a time: in ones' complement arithmetic a wide
// sum, its carry added back, folds to the narrow one (RFC 1071).
func onesSum(b []byte) uint64 {
	var sum, carry uint64
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, le.Uint64(b), carry)
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	sum, carry = bits.Add64(sum, le.Uint64(last[:]), carry)
	sum, carry = bits.Add64(sum, 0, carry)
	return sum + carry
}

func foldSum(sum uint64) uint64 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}
