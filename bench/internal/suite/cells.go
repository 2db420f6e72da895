package suite

import (
	"fmt"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/contender"
	"github.com/packetrpc/packetrpc/bench/internal/measure"
)

// Sizes of messages.
const (
	small  = 16
	medium = 1 << 10
	large  = 64 << 10
)

// Full returns the whole comparison.
func Full() Plan {
	var cells []measure.Cell
	for _, size := range []int{small, medium, large} {
		for _, callers := range []int{1, 8, 64, 1024} {
			cells = append(cells, unary(callers, 1, size))
		}
		cells = append(cells, unary(64, 4, size))
	}
	cells = append(cells, unary(16, 1, large), burning(), pinned())
	cells = append(cells, connections(1_000)...)
	for _, size := range []int{small, medium} {
		cells = append(cells, stream(measure.Upload, size), stream(measure.Download, size))
	}
	cells = append(cells, stream(measure.PingPong, small))
	cells = append(cells, beside(measure.BesideNone), beside(measure.BesideLarge), beside(measure.BesideStream))
	cells = append(cells, serverCalls())
	cells = append(cells, pushes(10_000)...)
	for _, sweep := range Sweeps() {
		cells = append(cells, sweep.Cells()...)
	}
	return Plan{Cells: cells, Contenders: infos(), Rounds: 3, Warm: 500 * time.Millisecond, Span: time.Second}
}

// Quick returns the cells that say most, in a few minutes.
func Quick() Plan {
	cells := []measure.Cell{
		unary(1, 1, small),
		unary(64, 1, small),
		unary(1024, 1, small),
		unary(64, 1, medium),
		unary(16, 1, large),
	}
	cells = append(cells, connections(200)...)
	cells = append(cells, stream(measure.Upload, small), stream(measure.Download, medium))
	cells = append(cells, beside(measure.BesideStream))
	cells = append(cells, serverCalls())
	cells = append(cells, pushes(200)...)
	return Plan{Cells: cells, Contenders: infos(), Rounds: 2, Warm: 200 * time.Millisecond, Span: 600 * time.Millisecond}
}

// infos describes the contenders of the whole comparison.
func infos() []contender.Info {
	var all []contender.Info
	for _, c := range contender.All() {
		if !c.Info().Secure {
			all = append(all, c.Info())
		}
	}
	return all
}

// Names of cells that the figures to reach are about; see package report.
const (
	BurningName    = "64 callers, 16 B, the server's cores burning"
	PinnedName     = "1 caller, 16 B, both processes on one core"
	ConnectsName   = "connect, handshake, first call"
	IdleName       = "idle connections"
	ServerName     = "64 callers, 16 B, server to client"
	BroadcastName  = "broadcast"
	NotifyLoopName = "loop of one-way calls"
	AskLoopName    = "loop of calls"
)

// UnaryName names a cell.
func UnaryName(callers, conns, size int) string {
	name := fmt.Sprintf("%s, %s", plural(callers, "caller"), SizeName(size))
	if conns > 1 {
		name += fmt.Sprintf(", %d connections", conns)
	}
	return name
}

// StreamName names a cell.
func StreamName(kind measure.Kind, size int) string {
	return fmt.Sprintf("%s, %s", kind, SizeName(size))
}

// BesideName names a cell.
func BesideName(kind measure.Kind) string {
	switch kind {
	case measure.BesideLarge:
		return "small calls beside messages of 64 MiB"
	case measure.BesideStream:
		return "small calls beside a stream of 64 KiB messages"
	}
	return "small calls alone"
}

// SizeName writes a number of bytes.
func SizeName(size int) string {
	if size >= 1<<10 {
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d B", size)
}

func plural(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}

func unary(callers, conns, size int) measure.Cell {
	return measure.Cell{Name: UnaryName(callers, conns, size), Kind: measure.Unary, Callers: callers, Conns: conns, Size: size}
}

func burning() measure.Cell {
	return measure.Cell{Name: BurningName, Kind: measure.Unary, Callers: 64, Conns: 1, Size: small, Burn: true}
}

func pinned() measure.Cell {
	return measure.Cell{Name: PinnedName, Kind: measure.Unary, Callers: 1, Conns: 1, Size: small, Pinned: true}
}

func connections(idle int) []measure.Cell {
	return []measure.Cell{
		{Name: ConnectsName, Kind: measure.Connects, Callers: 8, Size: small},
		{Name: IdleName, Kind: measure.Idle, Conns: idle, Size: small},
	}
}

func stream(kind measure.Kind, size int) measure.Cell {
	return measure.Cell{Name: StreamName(kind, size), Kind: kind, Conns: 1, Size: size}
}

func beside(kind measure.Kind) measure.Cell {
	return measure.Cell{Name: BesideName(kind), Kind: kind, Conns: 1, Size: small}
}

func serverCalls() measure.Cell {
	return measure.Cell{Name: ServerName, Kind: measure.ServerCalls, Callers: 64, Conns: 1, Size: small}
}

func pushes(conns int) []measure.Cell {
	return []measure.Cell{
		{Name: BroadcastName, Kind: measure.Broadcast, Conns: conns, Size: small},
		{Name: NotifyLoopName, Kind: measure.NotifyLoop, Conns: conns, Size: small},
		{Name: AskLoopName, Kind: measure.AskLoop, Conns: conns, Size: small},
	}
}
