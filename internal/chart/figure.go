package chart

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Figure writes a number to three digits or, when it is large, with its thousands set
// apart. NaN is a dash.
func Figure(value float64) string {
	switch {
	case math.IsNaN(value):
		return "–"
	case math.Abs(value) < 0.005:
		return "0"
	case math.Abs(value) < 10:
		return fmt.Sprintf("%.2f", value)
	case math.Abs(value) < 100:
		return fmt.Sprintf("%.1f", value)
	}
	text := Thousands(fmt.Sprintf("%.0f", math.Abs(value)))
	if value < 0 {
		return "-" + text
	}
	return text
}

// Thousands sets the thousands of a whole number apart.
func Thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Count writes a whole number.
func Count(n int64) string { return Thousands(strconv.FormatInt(n, 10)) }

// Round writes a round number, as ticks have.
func Round(number float64) string {
	if number < 100 {
		return strconv.FormatFloat(number, 'g', 2, 64)
	}
	return Thousands(strconv.FormatFloat(number, 'f', 0, 64))
}

// Duration writes a duration to three digits, as in "1.23 ms".
func Duration(d time.Duration) string { return inUnits(float64(d), digits3) }

// RoundDuration writes a round number of microseconds, as ticks have, as in "20 µs".
func RoundDuration(micros float64) string {
	return inUnits(micros*float64(time.Microsecond), func(value float64) string {
		return strconv.FormatFloat(value, 'g', 4, 64)
	})
}

func inUnits(nanos float64, write func(float64) string) string {
	switch {
	case nanos == 0:
		return "0"
	case nanos < 999.5:
		return write(nanos) + " ns"
	case nanos < 999.5e3:
		return write(nanos/1e3) + " µs"
	case nanos < 999.5e6:
		return write(nanos/1e6) + " ms"
	}
	return write(nanos/1e9) + " s"
}

func digits3(value float64) string {
	switch {
	case value < 9.995:
		return fmt.Sprintf("%.2f", value)
	case value < 99.95:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// Bytes writes a number of bytes, as in "1.5 MiB".
func Bytes(n float64) string {
	const step = 1024
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for n >= step && unit < len(units)-1 {
		n /= step
		unit++
	}
	return Figure(n) + " " + units[unit]
}
