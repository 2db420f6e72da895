package packet

import "math/bits"

// decimal is a number times a power of ten, rounded to a whole one.
type decimal struct {
	n       uint64
	inexact bool
}

// jsonDecimal returns a number that has been scanned, times ten to the power of
// scale, rounded half up. It computes in whole numbers, as microseconds since
// 1970 are more than a float tells exactly after some arithmetic.
func jsonDecimal(raw []byte, scale int) (decimal, error) {
	negative := raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	if !isDigit(raw[0]) {
		return decimal{}, errNotNumber
	}
	d := digits{exponent: scale, next: '0'}
	point := false
	i := 0
	for ; i < len(raw) && raw[i]|0x20 != 'e'; i++ {
		if raw[i] == '.' {
			point = true
			continue
		}
		d.add(raw[i], point)
	}
	if i < len(raw) {
		d.exponent += exponent(raw[i+1:])
	}
	switch {
	case d.mantissa == 0 && !d.dropped:
		return decimal{}, nil
	case negative:
		return decimal{}, errNegative
	default:
		return d.shift()
	}
}

// digits collects the digits of a number that count.
type digits struct {
	mantissa uint64
	exponent int
	full     bool // the mantissa takes no more digits
	next     byte // the first digit that it did not take
	dropped  bool // one of those is not 0
}

func (d *digits) add(c byte, afterPoint bool) {
	if !d.full && d.mantissa < 1e18 {
		d.mantissa = d.mantissa*10 + uint64(c-'0')
		if afterPoint {
			d.exponent--
		}
		return
	}
	if !d.full {
		d.full = true
		d.next = c
	}
	d.dropped = d.dropped || c != '0'
	if !afterPoint {
		d.exponent++
	}
}

// shift applies the exponent.
func (d *digits) shift() (decimal, error) {
	if d.exponent > 0 {
		// A full mantissa has 19 digits, so that what was dropped is beyond the range.
		return multiply(d.mantissa, d.exponent)
	}
	if d.exponent == 0 {
		v := decimal{d.mantissa, d.dropped}
		if d.next >= '5' {
			v.n++
		}
		return v, nil
	}
	if d.exponent < -20 {
		return decimal{0, true}, nil
	}
	v := decimal{d.mantissa, d.dropped}
	var digit uint64
	for range -d.exponent {
		v.inexact = v.inexact || digit != 0
		v.n, digit = v.n/10, v.n%10
	}
	v.inexact = v.inexact || digit != 0
	if digit >= 5 {
		v.n++
	}
	return v, nil
}

func multiply(n uint64, exponent int) (decimal, error) {
	for range min(exponent, 20) {
		high, low := bits.Mul64(n, 10)
		if high != 0 {
			return decimal{}, errOutOfRange
		}
		n = low
	}
	return decimal{n, false}, nil
}

// exponent returns the number behind an "e", cut to a size that does not overflow.
func exponent(raw []byte) int {
	const most = 1 << 24
	negative := raw[0] == '-'
	if negative || raw[0] == '+' {
		raw = raw[1:]
	}
	n := 0
	for _, c := range raw {
		n = min(n*10+int(c-'0'), most)
	}
	if negative {
		return -n
	}
	return n
}
