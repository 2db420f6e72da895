package suite

import (
	"fmt"
	"slices"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
)

// SecurityName is the name of the plan that Security returns.
const SecurityName = "security"

// sealedSize is how much data a sealed call has.
const sealedSize = 256

// Security returns the comparison of what is encrypted, sealed and asked for
// passwords with what is not.
func Security() Plan {
	cells := []measure.Cell{
		unary(1, 1, small),
		unary(64, 1, small),
		unary(1024, 1, small),
		unary(64, 1, medium),
		unary(16, 1, large),
		stream(measure.Download, small),
		stream(measure.Download, medium),
		{Name: ConnectsName, Kind: measure.Connects, Callers: 8, Size: small},
	}
	cells = only(cells, "packetrpc", "grpc-go", "packetrpc tls", "grpc-go tls")
	sealed := []measure.Cell{unary(1, 1, sealedSize), unary(64, 1, sealedSize)}
	cells = append(cells, only(sealed, "packetrpc", "packetrpc sealed", "packetrpc tls", "packetrpc tls sealed")...)
	asking := []measure.Cell{connects(1), connects(64)}
	cells = append(cells, only(asking, "packetrpc tls", "packetrpc tls password")...)
	return Plan{Name: SecurityName, Cells: cells, Contenders: among(cells), Rounds: 5, Warm: 400 * time.Millisecond, Span: time.Second}
}

// only makes cells those of some contenders.
func only(cells []measure.Cell, contenders ...string) []measure.Cell {
	for i := range cells {
		cells[i].Only = contenders
	}
	return cells
}

// among describes the contenders of cells that name them.
func among(cells []measure.Cell) []contender.Info {
	var infos []contender.Info
	for _, c := range contender.All() {
		info := c.Info()
		if slices.ContainsFunc(cells, func(cell measure.Cell) bool { return slices.Contains(cell.Only, info.Name) }) {
			infos = append(infos, info)
		}
	}
	return infos
}

func connects(atOnce int) measure.Cell {
	return measure.Cell{Name: fmt.Sprintf("%s, %d at once", ConnectsName, atOnce), Kind: measure.Connects, Callers: atOnce, Size: small}
}
