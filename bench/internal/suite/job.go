package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/packetrpc/packetrpc/bench/internal/measure"
	"github.com/packetrpc/packetrpc/bench/internal/process"
)

// JobCommand is the first argument of the process of a job.
const JobCommand = "job"

// patience is how much longer a job may take than it measures.
const patience = 90 * time.Second

// runJob runs a job in a process of its own.
func runJob(ctx context.Context, job measure.Job) (measure.Result, error) {
	var result measure.Result
	order, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, job.Warm+job.Span+patience)
	defer cancel()
	var output, complaints bytes.Buffer
	command, err := process.Command(ctx, job.Cell.Pinned, JobCommand)
	if err != nil {
		return result, err
	}
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(order), &output, &complaints
	command.WaitDelay = 5 * time.Second
	if err := command.Run(); err != nil {
		return result, fmt.Errorf("%w: %s", err, lastLine(complaints.Bytes()))
	}
	err = json.Unmarshal(output.Bytes(), &result)
	return result, err
}

// lastLine returns the last line of what a process complained.
func lastLine(text []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return lines[len(lines)-1]
}

// ServeJob is the work of such a process.
func ServeJob(ctx context.Context, input io.Reader, output io.Writer) error {
	var job measure.Job
	if err := json.NewDecoder(input).Decode(&job); err != nil {
		return err
	}
	result, err := job.Run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(result)
}
