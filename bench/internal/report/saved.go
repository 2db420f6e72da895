package report

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/packetrpc/packetrpc/bench/internal/suite"
)

// Everything that a report is made from lies beside it: the samples, and the rest
// of the Report.
const (
	samplesName = "samples.csv"
	runName     = "run.json"
)

// Save writes what the report is made from into a folder, which it makes.
func (r Report) Save(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, runName), append(text, '\n'), 0o644); err != nil {
		return err
	}
	samples, err := os.Create(filepath.Join(folder, samplesName))
	if err != nil {
		return err
	}
	return errors.Join(r.Results.WriteCSV(samples), samples.Close())
}

// Read reads what Save has written.
func Read(folder string) (Report, error) {
	r := Report{Results: new(suite.Results)}
	text, err := os.ReadFile(filepath.Join(folder, runName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	samples, err := os.Open(filepath.Join(folder, samplesName))
	if err != nil {
		return r, err
	}
	defer samples.Close()
	return r, r.Results.ReadCSV(samples)
}
