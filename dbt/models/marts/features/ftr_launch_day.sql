with

products as (

    select * from {{ ref('dim_product') }}

),

product_days as (

    select * from {{ ref('fct_product_day') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

refunds as (

    select * from {{ ref('fct_refund_lines') }}

),

traffic as (

    select * from {{ ref('fct_traffic_day') }}

),

content_products as (

    select * from {{ ref('fct_content_product') }}

),

availability as (

    select
        bool_or(available) filter (where table_name = 'content_products') as has_content_products,
        bool_or(available) filter (where table_name = 'contents') as has_contents,
        bool_or(available) filter (where table_name = 'traffic') as has_traffic,
        bool_or(available) filter (where table_name = 'refunds') as has_refunds
    from {{ ref('stg_availability') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

-- Built anew each time, because a title that changes may make another product the first of a relisting.
-- 27 weeks: a launch is followed until the end of the 26th calendar week of its age.
lives as (

    select
        products.product_id,
        products.launched_on,
        coalesce(products.relisted_of, products.product_id) as first_id
    from products
    cross join run
    where
        products.launch_source <> 'before_history'
        and products.launched_on <= run.as_of

),

-- A product that was relisted under a new id brings along what it did under the old ones.
members as (

    select
        lives.product_id,
        lives.launched_on,
        products.product_id as member_id
    from lives
    inner join products
        on
            lives.first_id = coalesce(products.relisted_of, products.product_id)
            and (lives.product_id = products.product_id or lives.launched_on > products.launched_on)

),

sold as (

    select
        members.product_id,
        product_days.date,
        sum(product_days.units) as units,
        sum(product_days.gmv) as gmv,
        sum(product_days.net_amount) as net_amount,
        sum(product_days.orders) as orders,
        max(product_days.known_at) as known_at
    from product_days
    inner join members on product_days.product_id = members.member_id
    where product_days.date < members.launched_on + 7 * 27
    group by members.product_id, product_days.date

),

bought as (

    select
        members.product_id,
        order_lines.customer_id,
        order_lines.order_date as date,
        sum(order_lines.quantity) as units
    from order_lines
    inner join members on order_lines.product_id = members.member_id
    where
        order_lines.status <> 'cancelled'
        and order_lines.customer_id is not null
        and order_lines.order_date < members.launched_on + 7 * 27
    group by members.product_id, order_lines.customer_id, order_lines.order_date

),

customers as (

    select
        *,
        sum(units) over by_customer as units_so_far,
        row_number() over by_customer as nth_day
    from bought
    window by_customer as (partition by product_id, customer_id order by date)

),

bought_days as (

    select
        product_id,
        date,
        count(*) filter (where nth_day = 1) as new_buyers,
        count(*) filter (where nth_day = 2) as new_repeat_buyers,
        max(units_so_far) as largest_buyer_units
    from customers
    group by product_id, date

),

delivered as (

    select
        members.product_id,
        order_lines.order_date as date,
        sum(sum(order_lines.quantity)) over (
            partition by members.product_id, order_lines.address_id
            order by order_lines.order_date
        ) as units_so_far
    from order_lines
    inner join members on order_lines.product_id = members.member_id
    where
        order_lines.status <> 'cancelled'
        and order_lines.address_id is not null
        and order_lines.order_date < members.launched_on + 7 * 27
    group by members.product_id, order_lines.address_id, order_lines.order_date

),

address_days as (

    select
        product_id,
        date,
        max(units_so_far) as largest_address_units
    from delivered
    group by product_id, date

),

led_in as (

    select
        members.product_id,
        order_lines.order_date as date,
        sum(order_lines.quantity) as content_units
    from order_lines
    inner join members on order_lines.product_id = members.member_id
    where
        order_lines.status <> 'cancelled'
        and order_lines.content_id is not null
        and order_lines.order_date < members.launched_on + 7 * 27
    group by members.product_id, order_lines.order_date

),

returned as (

    select
        members.product_id,
        refunds.refund_date as date,
        sum(refunds.quantity) as refunded_units,
        max(refunds.known_at) as known_at
    from refunds
    inner join members on refunds.product_id = members.member_id
    where refunds.refund_date < members.launched_on + 7 * 27
    group by members.product_id, refunds.refund_date

),

shown as (

    select
        members.product_id,
        traffic.date,
        sum(traffic.impressions) as impressions,
        sum(traffic.clicks) as clicks,
        sum(traffic.carts) as carts,
        sum(traffic.content_impressions) as content_impressions,
        max(traffic.known_at) as known_at
    from traffic
    inner join members on traffic.product_id = members.member_id
    where traffic.date < members.launched_on + 7 * 27
    group by members.product_id, traffic.date

),

carried as (

    select
        members.product_id,
        content_products.content_id,
        content_products.creator_id,
        min(content_products.date) as date,
        min(content_products.known_at) as known_at
    from content_products
    inner join members on content_products.product_id = members.member_id
    where content_products.date < members.launched_on + 7 * 27
    group by members.product_id, content_products.content_id, content_products.creator_id

),

makers as (

    select
        *,
        row_number() over (partition by product_id, creator_id order by date, content_id) as nth_content
    from carried

),

carried_days as (

    select
        product_id,
        date,
        count(*) as new_contents,
        count(*) filter (where nth_content = 1 and creator_id is not null) as new_creators,
        max(known_at) as known_at
    from makers
    group by product_id, date

),

-- The day before the launch is a row of its own: what is known in the morning of the first day.
days as (

    select
        product_id,
        launched_on - 1 as date
    from lives
    union
    select
        product_id,
        date
    from sold
    union
    select
        product_id,
        date
    from returned
    union
    select
        product_id,
        date
    from shown
    union
    select
        product_id,
        date
    from carried_days

),

so_far as (

    select
        days.product_id,
        days.date,
        sum(sold.units) over since_launch as units,
        sum(sold.gmv) over since_launch as gmv,
        sum(sold.net_amount) over since_launch as net_amount,
        sum(sold.orders) over since_launch as orders,
        count(sold.units) over since_launch as days_sold,
        max(if(sold.units > 0, days.date, null)) over since_launch as last_sold_on,
        sum(bought_days.new_buyers) over since_launch as buyers,
        sum(bought_days.new_repeat_buyers) over since_launch as repeat_buyers,
        max(bought_days.largest_buyer_units) over since_launch as largest_buyer_units,
        max(address_days.largest_address_units) over since_launch as largest_address_units,
        sum(led_in.content_units) over since_launch as content_units,
        sum(returned.refunded_units) over since_launch as refunded_units,
        sum(shown.impressions) over since_launch as impressions,
        sum(shown.clicks) over since_launch as clicks,
        sum(shown.carts) over since_launch as carts,
        sum(shown.content_impressions) over since_launch as content_impressions,
        sum(carried_days.new_contents) over since_launch as contents,
        sum(carried_days.new_creators) over since_launch as creators,
        max(greatest(sold.known_at, returned.known_at, shown.known_at, carried_days.known_at))
            over since_launch as known_at
    from days
    left join sold on days.product_id = sold.product_id and days.date = sold.date
    left join bought_days on days.product_id = bought_days.product_id and days.date = bought_days.date
    left join address_days on days.product_id = address_days.product_id and days.date = address_days.date
    left join led_in on days.product_id = led_in.product_id and days.date = led_in.date
    left join returned on days.product_id = returned.product_id and days.date = returned.date
    left join shown on days.product_id = shown.product_id and days.date = shown.date
    left join carried_days on days.product_id = carried_days.product_id and days.date = carried_days.date
    window since_launch as (partition by days.product_id order by days.date)

)

select
    so_far.product_id,
    cast(so_far.date + 1 as timestamp) as event_timestamp,
    greatest(cast(so_far.date + 1 as timestamp), so_far.known_at) as created_timestamp,
    cast(coalesce(so_far.units, 0) as bigint) as units_so_far,
    cast(coalesce(so_far.gmv, 0) as double) as gmv_so_far,
    cast(coalesce(so_far.gmv - so_far.net_amount, 0) as double) as discount_so_far,
    cast(coalesce(so_far.orders, 0) as bigint) as orders_so_far,
    cast(so_far.days_sold as bigint) as days_sold,
    cast(so_far.last_sold_on - lives.launched_on as bigint) as last_sold_age,
    cast(coalesce(so_far.buyers, 0) as bigint) as buyers_so_far,
    cast(coalesce(so_far.repeat_buyers, 0) as bigint) as repeat_buyers_so_far,
    cast(coalesce(so_far.largest_buyer_units, 0) as bigint) as largest_buyer_units,
    cast(coalesce(so_far.largest_address_units, 0) as bigint) as largest_address_units,
    cast(coalesce(so_far.content_units, 0) as bigint) as content_units_so_far,
    if(availability.has_refunds, cast(coalesce(so_far.refunded_units, 0) as bigint), null)
        as refunded_units_so_far,
    if(availability.has_traffic, cast(coalesce(so_far.impressions, 0) as bigint), null) as impressions_so_far,
    if(availability.has_traffic, cast(coalesce(so_far.clicks, 0) as bigint), null) as clicks_so_far,
    if(availability.has_traffic, cast(coalesce(so_far.carts, 0) as bigint), null) as carts_so_far,
    if(availability.has_traffic, cast(coalesce(so_far.content_impressions, 0) as bigint), null)
        as content_impressions_so_far,
    if(availability.has_content_products, cast(coalesce(so_far.contents, 0) as bigint), null)
        as contents_so_far,
    if(
        availability.has_content_products and availability.has_contents,
        cast(coalesce(so_far.creators, 0) as bigint),
        null
    ) as creators_so_far
from so_far
inner join lives on so_far.product_id = lives.product_id
cross join availability
where so_far.date >= lives.launched_on - 1
