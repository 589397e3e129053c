// What the agent is about, beside the picture of the live page.

export function start(page) {
}
