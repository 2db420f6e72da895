package chart

import "math"

// Axis places numbers between its ends.
type Axis struct {
	Name      string
	Low, High float64
	// Log places numbers by their logarithms. 0, which has none, comes before Low.
	Log   bool
	Ticks []Tick

	start, end float64 // pixels
}

// Tick is a number that is written at an axis.
type Tick struct {
	At    float64
	Label string
}

// zeroGap is how many pixels 0 is before the least number of a logarithmic axis.
const zeroGap = 40

// place returns the pixel of a number.
func (a Axis) place(number float64) float64 {
	if !a.Log {
		return a.start + (a.end-a.start)*(number-a.Low)/(a.High-a.Low)
	}
	if number <= 0 {
		return a.start - math.Copysign(zeroGap, a.end-a.start)
	}
	return a.start + (a.end-a.start)*math.Log(number/a.Low)/math.Log(a.High/a.Low)
}

// hasZero reports whether 0 is written at a logarithmic axis.
func (a Axis) hasZero() bool { return a.Log && len(a.Ticks) > 0 && a.Ticks[0].At == 0 }

// Decades returns a logarithmic axis of whole decades from the one of least to the one of
// greatest, with ticks at 1, 2 and 5 of each, or at 1 if there are many, which label
// writes.
func Decades(name string, least, greatest float64, label func(float64) string) Axis {
	a := Axis{Name: name, Log: true}
	a.Low = math.Pow(10, math.Floor(math.Log10(least)))
	a.High = math.Pow(10, math.Ceil(math.Log10(math.Max(greatest, 2*a.Low))))
	steps := []float64{1, 2, 5}
	if a.High/a.Low > 1.1e3 {
		steps = steps[:1]
	}
	for decade := a.Low; decade < a.High*0.99; decade *= 10 {
		for _, step := range steps {
			a.Ticks = append(a.Ticks, Tick{step * decade, label(step * decade)})
		}
	}
	a.Ticks = append(a.Ticks, Tick{a.High, label(a.High)})
	return a
}

// Linear returns an axis from 0 to a round number that is greatest or a little more, with
// about five ticks, which label writes.
func Linear(name string, greatest float64, label func(float64) string) Axis {
	if greatest <= 0 {
		greatest = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(greatest)))
	for _, part := range []float64{0.1, 0.2, 0.5, 1} {
		if greatest/(step*part) <= 6 {
			step *= part
			break
		}
	}
	steps := math.Ceil(greatest/step - 1e-9)
	a := Axis{Name: name, High: steps * step}
	for i := 0.0; i <= steps; i++ {
		a.Ticks = append(a.Ticks, Tick{i * step, label(i * step)})
	}
	return a
}
