// Keeps what Postroad delivers to a queue of RabbitMQ in a JSON file, and sends receipts: consumer AMQP_URL QUEUE FILE
package main

import (
	"encoding/json"
	"log"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

type record = map[string]json.RawMessage // values as they came: no digit is lost

func must[T any](value T, err error) T { // whoever started us starts us again, and what is not acknowledged comes again
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func read[T any](text []byte) (value T) { must(0, json.Unmarshal(text, &value)); return }

func main() {
	url, queue, file := os.Args[1], os.Args[2], os.Args[3]
	state := map[string]record{} // by key; a deleted record stays, with its version
	if text, err := os.ReadFile(file); err == nil {
		state = read[map[string]record](text)
	}
	channel := must(must(amqp.Dial(url)).Channel())
	must(0, channel.Confirm(false))
	must(0, channel.Qos(10, 0, false))
	for message := range must(channel.Consume(queue, "", false, false, false, false, nil)) {
		event, rejected := read[record](message.Body), []any{}
		for place, found := range read[[]record](event["data"]) {
			if text := found["text"]; text != nil && len([]rune(read[string](text))) > 20 { // a rule of our own
				rejected = append(rejected, map[string]any{"record": place, "cause": "too_long", "sentence": "more than 20 letters"})
				continue
			}
			key := ""
			for _, column := range read[[]string]([]byte(read[string](event["entitykey"]))) {
				key += string(found[column]) + " "
			}
			if known, ok := state[key]; !ok || read[int64](known["_version"]) < read[int64](found["_version"]) {
				state[key] = found
			}
		}
		// First the state, then the receipt, then the acknowledgement: a crash between them brings the message again.
		must(0, os.WriteFile(file+".new", must(json.Marshal(state)), 0o600))
		must(0, os.Rename(file+".new", file))
		receipt := map[string]any{"specversion": "1.0", "type": "org.postroad.receipt.v1", "source": "/example/go",
			"id": event["id"], "subject": event["id"], "data": map[string]any{"rejected": rejected}}
		kept := amqp.Publishing{ContentType: "application/cloudevents+json", DeliveryMode: amqp.Persistent, Body: must(json.Marshal(receipt))}
		if must(channel.PublishWithDeferredConfirm("", message.ReplyTo, true, false, kept)).Wait() { // the broker has it
			must(0, message.Ack(false))
		}
	}
}
