"""Orders: what is done, in which order, and what is told that it won't be."""

import threading

from live import PATIENCE

from steve1.live.orders import Orders


def done(orders):
    """What is waiting, done."""
    newest = orders.waiting(0)
    while (order := orders.take(newest)) is not None:
        order()


def test_without_a_name_all_are_done_in_order():
    orders, said = Orders(), []
    for n in range(5):
        orders.put(lambda n=n: said.append(n))
    done(orders)
    assert said == [0, 1, 2, 3, 4]


def test_of_a_name_the_newest_is_done_and_the_others_are_told():
    orders, said, told = Orders(), [], []
    for n in range(4):
        orders.put(lambda n=n: said.append(("prompt", n)), "prompt", lambda n=n: told.append(n))
        orders.put(lambda n=n: said.append(("scale", n)), "scale")
        orders.put(lambda n=n: said.append(("plain", n)))
    done(orders)
    assert said == [("plain", 0), ("plain", 1), ("plain", 2), ("prompt", 3), ("scale", 3), ("plain", 3)]
    assert told == [0, 1, 2]


def test_what_was_taken_is_overtaken_no_more():
    orders, said, told = Orders(), [], []
    orders.put(lambda: said.append("first"), "prompt", lambda: told.append("first"))
    order = orders.take(orders.waiting(0))
    orders.put(lambda: said.append("second"), "prompt", lambda: told.append("second"))
    order()
    done(orders)
    assert (said, told) == (["first", "second"], [])


def test_what_comes_meanwhile_waits_for_the_next_time():
    orders, said = Orders(), []

    def again():
        said.append(len(said))
        orders.put(again, "again")

    orders.put(again)
    for n in range(3):
        done(orders)
        assert len(said) == n + 1


def test_waiting_ends_with_the_first_order_or_in_time():
    orders = Orders()
    assert orders.take(orders.waiting(0.0)) is None
    assert orders.take(orders.waiting(0.001)) is None
    waited = []
    waiter = threading.Thread(target=lambda: waited.append(orders.take(orders.waiting(None))))
    waiter.start()
    orders.put(lambda: None)
    waiter.join(PATIENCE)
    assert waited[0] is not None
