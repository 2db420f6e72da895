package backcompat_test

import (
	"path"
	"slices"
	"strconv"
	"testing"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/runtime/packet"
)

// TestEachScenarioIsRecorded: one that is not shows nothing about earlier versions.
func TestEachScenarioIsRecorded(t *testing.T) {
	var names []string
	for _, file := range recorded(t) {
		names = append(names, path.Base(file))
	}
	for _, sc := range scenarios() {
		for _, form := range sc.inForms() {
			if name := sc.file(form); !slices.Contains(names, name) {
				t.Errorf("no set in testdata has %s; see the README there", name)
			}
		}
	}
}

// TestEachFieldIsRecorded: a field or a kind that occurs nowhere could change unnoticed.
func TestEachFieldIsRecorded(t *testing.T) {
	seen := map[string]bool{
		"19": true, // may-have-run, which nothing sends yet
		"20": true, // sealed: no two of its packets are the same
	}
	kinds := map[string]bool{strconv.Itoa(int(packet.KindRequest)): true} // which need not be written
	for _, file := range recorded(t) {
		r := readRecording(t, file)
		if r.form != packet.Binary {
			continue
		}
		for i, s := range r.steps {
			if s.what != aPacket {
				continue
			}
			f, err := fieldsOf(r.form, s.body(r.form))
			if err != nil {
				t.Fatalf("%s, step %d: %v", file, i+1, err)
			}
			kinds[f["5"]] = true
			for number := range f {
				seen[number] = true
			}
		}
	}
	fields := new(packetrpcv1.Packet).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if number := strconv.Itoa(int(fields.Get(i).Number())); !seen[number] {
			t.Errorf("no recording has field %s (%s) of the packet: add a scenario that does", number, fields.Get(i).Name())
		}
	}
	values := packetrpcv1.Kind(0).Descriptor().Values()
	for i := range values.Len() {
		if number := strconv.Itoa(int(values.Get(i).Number())); number != "0" && !kinds[number] {
			t.Errorf("no recording has a packet of the kind %s: add a scenario that does", values.Get(i).Name())
		}
	}
}
