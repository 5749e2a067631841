package ocispec

import "math"

// number reads a number literal, whose first byte, a digit or a minus sign, is next.
func (r *reader) number() (string, bool) {
	start, i := r.pos, r.pos
	digits := func() bool {
		from := i
		for i < len(r.src) && '0' <= r.src[i] && r.src[i] <= '9' {
			i++
		}
		return i > from
	}
	is := func(set string) bool {
		for k := range len(set) {
			if i < len(r.src) && r.src[i] == set[k] {
				i++
				return true
			}
		}
		return false
	}
	is("-")
	ok := is("0") || digits()
	if ok && is(".") {
		ok = digits()
	}
	if ok && is("eE") {
		is("+-")
		ok = digits()
	}
	if !ok {
		r.pos = i
		r.syntax("want a digit")
		return "", false
	}
	r.pos = i
	return r.src[start:i], true
}

// magnitude reads an integer: no fraction, no exponent, as encoding/json has it. ok is false, with no error reported and
// the place as before, for whatever else is there and for more than 64 bits.
func (r *reader) magnitude() (n uint64, negative, ok bool) {
	c := r.peek()
	if c != '-' && (c < '0' || c > '9') {
		return 0, false, false
	}
	start := r.pos
	lit, ok := r.number()
	if !ok {
		return 0, false, false
	}
	negative = lit[0] == '-'
	if negative {
		lit = lit[1:]
	}
	for i := range len(lit) {
		d := uint64(lit[i] - '0')
		if lit[i] < '0' || lit[i] > '9' || n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			r.pos = start
			return 0, false, false
		}
		n = n*10 + d
	}
	return n, negative, true
}

// unsigned reads an integer from 0 to most; null gives 0. -0 is refused, as by encoding/json.
func (r *reader) unsigned(most uint64, want string) uint64 {
	if r.null() {
		return 0
	}
	start := r.pos
	n, negative, ok := r.magnitude()
	if r.err != nil || ok && !negative && n <= most {
		return n
	}
	r.pos = start
	r.wrongType(want)
	return 0
}

// signed reads an integer from -most-1 to most; null gives 0.
func (r *reader) signed(most int64, want string) int64 {
	if r.null() {
		return 0
	}
	start := r.pos
	n, negative, ok := r.magnitude()
	switch {
	case r.err != nil:
		return 0
	case ok && !negative && n <= uint64(most):
		return int64(n)
	case ok && negative && n <= uint64(most)+1:
		return -int64(n) // for most+1 of 64 bits: the same bits, the smallest integer
	}
	r.pos = start
	r.wrongType(want)
	return 0
}
