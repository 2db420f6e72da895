package suite

import (
	"fmt"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
)

// A Sweep is a series of cells that differ in one number, to see how the cost of
// a call grows with it.
type Sweep struct {
	// Name says what the number counts; the cells bear it.
	Name string
	// About says what the cells have in common, and why the floor is the right one.
	About string
	// Floor is the contender whose growth the machine forces upon everybody; ""
	// is none.
	Floor string
	// From and To are the numbers between which the figures to reach judge growth.
	From, To int

	numbers []int
	cell    func(number int) measure.Cell
	// floorFrom is the least number for which there can be the floor.
	floorFrom int
}

// largest is just below the default limit of a message, 4 MiB, which includes what
// the frameworks add to the data.
const largest = 4<<20 - 64

// Sweeps returns all sweeps.
func Sweeps() []Sweep {
	return []Sweep{
		{
			Name: "callers",
			About: "One connection, 16 B. The floor has a connection for each caller: like the others it has a goroutine for each, " +
				"which costs more the fewer of them the caches hold. Growth is judged from 64 callers on, since few callers leave nothing to batch.",
			Floor:   "floor: ping",
			From:    64,
			To:      10_000,
			numbers: []int{1, 4, 16, 64, 256, 1024, 4096, 10_000},
			cell:    func(callers int) measure.Cell { return unary(callers, 1, small) },
		},
		{
			Name: "open connections",
			About: "64 callers, 16 B, each call on the next connection in turn. The floor needs a connection for each caller, " +
				"so it has no figures for fewer. Growth is judged from 100 connections on, since calls that share one can be batched.",
			Floor:     "floor: ping",
			From:      100,
			To:        10_000,
			numbers:   []int{1, 10, 100, 1_000, 10_000},
			cell:      func(conns int) measure.Cell { return unary(sweepCallers, conns, small) },
			floorFrom: sweepCallers,
		},
		{
			Name: "message bytes",
			About: "8 callers, one connection. The floor has one connection too. Growth is judged from 64 KiB on, " +
				"where bytes cost more than calls.",
			Floor:   "floor: window",
			From:    large,
			To:      largest,
			numbers: []int{0, 64, medium, 4 << 10, 16 << 10, large, 256 << 10, 1 << 20, largest},
			cell:    func(size int) measure.Cell { return unary(8, 1, size) },
		},
		{
			Name:    "declared actions",
			About:   "64 callers, one connection, 16 B; the calls cycle through all actions. The floors know no actions.",
			From:    1,
			To:      1_000,
			numbers: []int{1, 10, 100, 1_000},
			cell:    declaring,
		},
	}
}

// sweepCallers is the number of callers where that does not grow.
const sweepCallers = 64

func declaring(actions int) measure.Cell {
	cell := unary(sweepCallers, 1, small)
	cell.Actions = actions
	return cell
}

// Cells returns the cells of the sweep. Only some contenders take part, as there
// are many.
func (s Sweep) Cells() []measure.Cell {
	var cells []measure.Cell
	for _, number := range s.numbers {
		cell := s.cell(number)
		cell.Name, cell.Sweep, cell.X = SweepName(s.Name, number), s.Name, number
		cell.Only = []string{"packetrpc", "grpc-go"}
		if s.Floor != "" && number >= s.floorFrom {
			cell.Only = append(cell.Only, s.Floor)
		}
		cells = append(cells, cell)
	}
	return cells
}

// SweepName names a cell.
func SweepName(sweep string, number int) string {
	return fmt.Sprintf("sweep of %s: %d", sweep, number)
}
